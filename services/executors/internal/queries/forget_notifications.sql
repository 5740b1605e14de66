-- Forgets up to 1,000 notifications older than $1 days, read or not; internal/inbox.py. Served by notification_age.
DELETE FROM notification
WHERE (account_id, user_id, notification_id) IN (
    SELECT account_id, user_id, notification_id FROM notification
    WHERE created_at < now() - $1::integer * interval '1 day'
    ORDER BY created_at LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
RETURNING notification_id
