-- Forgets how a user is reached, and the roles with it; internal/people.py. Served by the primary key.
DELETE FROM notification_user WHERE account_id = $1 AND user_id = $2
