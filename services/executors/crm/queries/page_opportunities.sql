-- Reads a contact's opportunities, newest first, up to $4 after $3; crm/opportunities.py. Served by the primary key.
SELECT account_id, contact_id, opportunity_id, pipeline, stage, status, name_sealed, value, currency,
       source, assigned_to, created_at, updated_at
FROM opportunity
WHERE account_id = $1 AND contact_id = $2 AND ($3::uuid IS NULL OR opportunity_id < $3)
ORDER BY opportunity_id DESC LIMIT $4
