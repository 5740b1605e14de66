-- Writes one choice if it is still the one that was read ($6: its revision, 0 for none), else returns nothing;
-- providers/accounts.py. Served by the primary key.
INSERT INTO provider_account AS p (account_id, channel, provider, settings, credentials_sealed)
SELECT $1::bigint, $2::text, $3::text, $4::jsonb, $5::bytea
WHERE $6::bigint = 0 OR EXISTS (SELECT FROM provider_account WHERE account_id = $1 AND channel = $2)
ON CONFLICT (account_id, channel) DO UPDATE SET
    provider = excluded.provider, settings = excluded.settings, credentials_sealed = excluded.credentials_sealed,
    revision = excluded.revision, updated_at = now(), refused_at = NULL, refusal_code = '', refusal = ''
WHERE p.revision = $6
RETURNING p.revision
