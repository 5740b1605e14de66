-- Access that has ended goes by age (docs/retention.md); what does not end by itself is not in this index.
CREATE INDEX course_access_ended ON course_access ((coalesce(revoked_at, expires_at)))
    WHERE coalesce(revoked_at, expires_at) IS NOT NULL;
