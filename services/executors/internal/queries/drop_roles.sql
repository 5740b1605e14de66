-- Takes those roles from a user that are not $3; internal/people.py, after put_user in its transaction. Served by
-- notification_user_role_user.
DELETE FROM notification_user_role WHERE account_id = $1 AND user_id = $2 AND role <> ALL ($3::text[])
