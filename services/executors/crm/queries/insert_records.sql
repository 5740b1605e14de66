-- Writes records of new contacts, as of the first revision; crm/records.py, in the batch's transaction. In key order.
INSERT INTO contact_record (account_id, contact_id, revision, data_sealed)
SELECT account_id, contact_id, 1, data_sealed
FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS u (account_id, contact_id, data_sealed)
ORDER BY account_id, contact_id
