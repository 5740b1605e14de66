-- Forgets up to 1,000 marks older than the longest window; internal/repeats.py. Served by notification_mark_age.
DELETE FROM notification_mark
WHERE (account_id, likeness) IN (
    SELECT account_id, likeness FROM notification_mark
    WHERE marked_at < now() - $1::integer * interval '1 second'
    ORDER BY marked_at LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
RETURNING likeness
