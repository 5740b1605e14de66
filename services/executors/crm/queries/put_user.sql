-- Writes a user; crm/users.py. Served by the primary key.
INSERT INTO crm_user (account_id, user_id, name_sealed, active) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, user_id) DO UPDATE SET name_sealed = excluded.name_sealed, active = excluded.active
