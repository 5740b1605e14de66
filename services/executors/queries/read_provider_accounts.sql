-- Gives an account's choice of providers, by channel; providers/accounts.py. Served by the primary key.
SELECT account_id, channel, provider, settings, credentials_sealed, revision, updated_at,
    refused_at, refusal_code, refusal
FROM provider_account
WHERE account_id = $1
ORDER BY channel
