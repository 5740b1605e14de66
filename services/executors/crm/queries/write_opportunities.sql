-- Writes stage, status and value of opportunities; crm/opportunities.py, with the contacts locked. Served by the
-- primary key.
UPDATE opportunity o SET stage = u.stage, status = u.status, value = u.value, updated_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::numeric[])
    AS u (account_id, contact_id, opportunity_id, stage, status, value)
WHERE o.account_id = u.account_id AND o.contact_id = u.contact_id AND o.opportunity_id = u.opportunity_id
