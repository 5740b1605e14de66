-- Writes a contact's access to a course as a whole; membership/builtin.py, under the lock. Served by the primary key.
INSERT INTO course_access AS a (account_id, contact_id, course, enrollment_id, granted_at, expires_at, revoked_at, progress,
    grant_effect, revoke_effect)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (account_id, contact_id, course) DO UPDATE SET
    granted_at = excluded.granted_at, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at,
    progress = excluded.progress, grant_effect = excluded.grant_effect, revoke_effect = excluded.revoke_effect
