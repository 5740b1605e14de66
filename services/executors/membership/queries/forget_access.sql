-- Forgets up to 1,000 accesses that ended more than $1 days ago; membership/courses.py. Served by course_access_ended.
-- A grant that has read one of them meanwhile writes it whole.
DELETE FROM course_access
WHERE (account_id, contact_id, course) IN (
    SELECT account_id, contact_id, course FROM course_access
    WHERE coalesce(revoked_at, expires_at) < now() - $1::integer * interval '1 day'
    ORDER BY coalesce(revoked_at, expires_at) LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
RETURNING course
