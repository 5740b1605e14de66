-- Locks users so that their counts of contacts can be compared and changed; crm/users.py, in the batch's transaction,
-- after the contacts. Locks in key order. Served by the primary key.
SELECT c.account_id, c.user_id, c.active, c.owned
FROM (SELECT DISTINCT account_id, user_id FROM unnest($1::bigint[], $2::text[]) AS u (account_id, user_id)) AS a
JOIN crm_user c ON c.account_id = a.account_id AND c.user_id = a.user_id COLLATE "C"
ORDER BY c.account_id, c.user_id
FOR NO KEY UPDATE OF c
