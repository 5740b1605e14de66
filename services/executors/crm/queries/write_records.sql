-- Writes the data of records that lock_records has locked; crm/records.py. An action's change leaves the revision
-- alone. Served by the primary key.
UPDATE contact_record AS r SET data_sealed = u.data_sealed, updated_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS u (account_id, contact_id, data_sealed)
WHERE r.account_id = u.account_id AND r.contact_id = u.contact_id
