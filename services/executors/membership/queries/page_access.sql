-- Reads a contact's access by course, up to $4 after $3; membership/courses.py. Served by the primary key.
SELECT enrollment_id, course, granted_at, expires_at, revoked_at, progress,
    revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AS lasts
FROM course_access
WHERE account_id = $1 AND contact_id = $2 AND course > $3 ORDER BY course LIMIT $4
