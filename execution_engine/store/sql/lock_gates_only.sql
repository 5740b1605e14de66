-- Locks the gates of contacts about to be enrolled, in order, and tells the time; store/enroll_many.py, in a statement
-- before the one it protects. Primary key.
WITH locked AS MATERIALIZED (
    SELECT c.contact_id
    FROM unnest($2::uuid[]) AS u (contact_id)
    JOIN contact c ON c.account_id = $1 AND c.contact_id = u.contact_id
    ORDER BY c.contact_id
    FOR NO KEY UPDATE OF c
)
SELECT wf_now() FROM (SELECT count(*) FROM locked) AS n
