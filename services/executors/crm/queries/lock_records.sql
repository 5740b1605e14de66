-- Locks contact records in key order to change them; crm/records.py, in the caller's transaction. Served by the
-- primary key.
SELECT r.account_id, r.contact_id, r.revision, r.data_sealed
FROM (SELECT DISTINCT account_id, contact_id
      FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)) AS a
JOIN contact_record r ON r.account_id = a.account_id AND r.contact_id = a.contact_id
ORDER BY r.account_id, r.contact_id
FOR NO KEY UPDATE OF r
