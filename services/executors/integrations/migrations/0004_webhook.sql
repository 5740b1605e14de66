-- What an account keeps for its calls to other systems.
CREATE TABLE account_secret (
    account_id      bigint      NOT NULL,
    name            text        COLLATE "C" NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,63}$'),
    -- Both sealed for "integrations.secret"; the previous one goes on signing for a day after rotated_at.
    secret_sealed   bytea       NOT NULL,
    previous_sealed bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    rotated_at      timestamptz,
    PRIMARY KEY (account_id, name),
    CHECK ((previous_sealed IS NULL) = (rotated_at IS NULL))
);

-- Endpoints that answered 410 Gone. A URL may hold a token or personal data: it is found by a keyed hash of
-- scheme, host, port and path, and shown from its sealed text ("integrations.endpoint").
CREATE TABLE disabled_endpoint (
    account_id bigint      NOT NULL,
    url_hash   bytea       NOT NULL CHECK (octet_length(url_hash) = 32),
    url_sealed bytea       NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, url_hash)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON account_secret, disabled_endpoint TO %I',
                       current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
