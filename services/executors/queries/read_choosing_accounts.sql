-- Reads which accounts have chosen a provider for a channel; providers/accounts.py, at most every two seconds. Served
-- by the primary key, read as a whole.
SELECT account_id FROM provider_account WHERE channel = $1
