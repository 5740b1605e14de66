-- Forgets one choice; providers/accounts.py. Served by the primary key.
DELETE FROM provider_account
WHERE account_id = $1 AND channel = $2
