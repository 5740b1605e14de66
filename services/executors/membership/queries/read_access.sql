-- Reads a course with a contact's access to it, if there is any, and the time; membership/builtin.py, under the
-- lock: not now(), which is from before it was had. Served by the primary keys.
SELECT c.active, a.enrollment_id, a.granted_at, a.expires_at, a.revoked_at, a.progress, a.grant_effect, a.revoke_effect,
    clock_timestamp() AS at
FROM course c
LEFT JOIN course_access a ON a.account_id = c.account_id AND a.contact_id = $2 AND a.course = c.course
WHERE c.account_id = $1 AND c.course = $3
