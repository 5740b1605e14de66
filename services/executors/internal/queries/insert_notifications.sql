-- Writes a notification for each of its users, once per effect; internal/inbox.py. In key order.
INSERT INTO notification (account_id, user_id, execution_id, step_id, visit, title_sealed, body_sealed, severity)
SELECT $1, users.user_id, $3, $4, $5, $6, $7, $8
FROM unnest($2::text[]) AS users (user_id)
ORDER BY users.user_id
ON CONFLICT (account_id, execution_id, step_id, visit, user_id) DO NOTHING
