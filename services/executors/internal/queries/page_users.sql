-- Reads an account's users by id, up to $3 after $2; internal/people.py. Served by the primary keys.
SELECT u.user_id, u.email_sealed, u.phone_sealed,
       ARRAY(SELECT r.role FROM notification_user_role r
             WHERE r.account_id = u.account_id AND r.user_id = u.user_id ORDER BY r.role) AS roles
FROM notification_user u
WHERE u.account_id = $1 AND u.user_id > $2 ORDER BY u.user_id LIMIT $3
