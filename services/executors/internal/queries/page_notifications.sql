-- Reads a user's notifications, newest first, up to $4 before $3; internal/inbox.py. Served by the primary key.
SELECT notification_id, title_sealed, body_sealed, severity, created_at, read_at FROM notification
WHERE account_id = $1 AND user_id = $2 AND ($3::uuid IS NULL OR notification_id < $3)
ORDER BY notification_id DESC LIMIT $4
