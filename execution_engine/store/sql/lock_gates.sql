-- Locks the gates of contacts about to be enrolled, so that an opt-out is before or after, never between;
-- store/enrollment.py, in a statement before the one it protects. Primary key.
SELECT c.contact_id, c.opted_out, c.deleted_at IS NOT NULL AS deleted
FROM unnest($2::uuid[]) AS u (contact_id)
JOIN contact c ON c.account_id = $1 AND c.contact_id = u.contact_id
ORDER BY c.contact_id
FOR NO KEY UPDATE OF c
