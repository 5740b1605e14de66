-- Takes a number of turns under each key and tells how many were taken in all; crm/users.py, in the batch's
-- transaction: a turn is given back if that is rolled back. In key order. Served by the primary key.
INSERT INTO assignment_turn AS t (account_id, key, taken)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (account_id, key, taken)
ORDER BY account_id, key COLLATE "C"
ON CONFLICT (account_id, key) DO UPDATE SET taken = t.taken + excluded.taken
RETURNING account_id, key, taken
