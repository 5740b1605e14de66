-- Marks a user's notifications as read; those read before keep their time; internal/inbox.py. Served by the
-- primary key, locked in its order.
WITH unread AS (
    SELECT notification_id FROM notification
    WHERE account_id = $1 AND user_id = $2 AND notification_id = ANY ($3::uuid[]) AND read_at IS NULL
    ORDER BY notification_id
    FOR UPDATE
)
UPDATE notification SET read_at = now() FROM unread
WHERE account_id = $1 AND user_id = $2 AND notification.notification_id = unread.notification_id
RETURNING notification.notification_id
