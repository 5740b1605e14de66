-- Reads opportunities of contacts, oldest first: the open ones and those of the ids in $3; crm/opportunities.py, with
-- the contacts locked. Served by the primary key.
SELECT o.account_id, o.contact_id, o.opportunity_id, o.pipeline, o.stage, o.status, o.name_sealed, o.value, o.currency,
       o.source, o.assigned_to, o.created_at, o.updated_at
FROM (SELECT DISTINCT account_id, contact_id
      FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)) AS a
JOIN opportunity o ON o.account_id = a.account_id AND o.contact_id = a.contact_id
WHERE o.status = 'open' OR o.opportunity_id = ANY ($3::uuid[])
ORDER BY o.opportunity_id
