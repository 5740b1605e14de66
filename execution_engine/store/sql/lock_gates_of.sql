-- Locks the gates of contacts of any account whose events are about to meet waits, in order; store/commits.py, before
-- any execution is touched. Primary key.
SELECT 1 FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)
JOIN contact c USING (account_id, contact_id)
ORDER BY account_id, contact_id
FOR NO KEY UPDATE OF c
