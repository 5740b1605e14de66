-- Writes new opportunities; crm/opportunities.py, with the contacts locked. In key order.
INSERT INTO opportunity (account_id, contact_id, opportunity_id, pipeline, stage, status, name_sealed, value, currency,
                         source, assigned_to)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                     $8::numeric[], $9::text[], $10::text[], $11::text[])
ORDER BY 1, 2, 3
