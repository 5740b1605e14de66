-- Gives a user roles; those there already stay; internal/people.py, after put_user in its transaction.
INSERT INTO notification_user_role (account_id, role, user_id)
SELECT $1, role, $2 FROM unnest($3::text[]) AS given (role) ORDER BY role
ON CONFLICT DO NOTHING
