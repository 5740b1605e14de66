-- Keeps contacts from being deleted until the caller has written rows of theirs, and tells their owners;
-- crm/contacts.py, in the batch's transaction. Locks in key order. Served by the primary key.
SELECT r.account_id, r.contact_id, r.owner_id
FROM (SELECT DISTINCT account_id, contact_id
      FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)) AS a
JOIN contact_record r ON r.account_id = a.account_id AND r.contact_id = a.contact_id
ORDER BY r.account_id, r.contact_id
FOR KEY SHARE OF r
