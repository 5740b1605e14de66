-- Reads users by id ($2) and by role ($3), up to $4; internal/people.py, before a notification. Served by both
-- primary keys.
SELECT u.user_id, u.email_sealed, u.phone_sealed
FROM (SELECT named.user_id FROM unnest($2::text[]) AS named (user_id)
      UNION
      SELECT r.user_id FROM notification_user_role r WHERE r.account_id = $1 AND r.role = ANY ($3::text[])) AS wanted
JOIN notification_user u ON u.account_id = $1 AND u.user_id = wanted.user_id COLLATE "C"
ORDER BY u.user_id LIMIT $4
