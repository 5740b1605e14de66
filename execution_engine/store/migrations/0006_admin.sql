-- Roles and ends of API keys, and what the platform's own keys may do beyond their account.
ALTER TABLE account ADD COLUMN updated_at timestamptz NOT NULL DEFAULT wf_now();
ALTER TABLE api_key
    ADD COLUMN role smallint NOT NULL DEFAULT 2 CHECK (role BETWEEN 1 AND 3),   -- MEMBER ADMIN PLATFORM
    ADD COLUMN expires_at timestamptz;

DROP FUNCTION wf_account_of_key(bytea);
CREATE FUNCTION wf_account_of_key(hash bytea)
    RETURNS TABLE (account_id bigint, key_id uuid, actor text, role smallint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, key_id, actor, role FROM api_key
        WHERE key_hash = hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > wf_now())';

-- For PLATFORM keys: a new account, and all accounts, newest first.
CREATE FUNCTION wf_create_account(name text) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
    AS 'INSERT INTO account (name) VALUES (name) RETURNING account_id';
CREATE FUNCTION wf_accounts(before bigint, most integer)
    RETURNS TABLE (account_id bigint, name text, settings jsonb, active_limit integer, created_at timestamptz,
                   updated_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, name, settings, active_limit, created_at, updated_at FROM account
        WHERE before = 0 OR account_id < before ORDER BY account_id DESC LIMIT most';

REVOKE ALL ON FUNCTION wf_account_of_key(bytea), wf_create_account(text), wf_accounts(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_account_of_key(bytea), wf_create_account(text), wf_accounts(bigint, integer)
    TO wayfarer_api;
GRANT UPDATE (name, settings, active_limit, updated_at) ON account TO wayfarer_api;
GRANT INSERT ON api_key TO wayfarer_api;
GRANT UPDATE (revoked_at, expires_at) ON api_key TO wayfarer_api;
