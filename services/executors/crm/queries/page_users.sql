-- Reads an account's users by id, up to $3 after $2; crm/users.py. Served by the primary key.
SELECT user_id, name_sealed, active, owned FROM crm_user
WHERE account_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3
