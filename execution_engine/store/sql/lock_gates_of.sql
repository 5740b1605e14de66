-- Locks the gates of contacts of any account whose events are about to meet waits, or who are about to be written to,
-- in order; store/commits.py, before any execution is touched. Primary key.
SELECT account_id, contact_id, c.sending_rev, c.deleted_at IS NOT NULL AS deleted
FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)
JOIN contact c USING (account_id, contact_id)
ORDER BY account_id, contact_id
FOR NO KEY UPDATE OF c
