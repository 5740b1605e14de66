-- Which provider an account acts through, per channel; one table per family, of the channels it serves.
-- Revisions are of one sequence, so that a choice that is deleted and made anew never repeats one.
CREATE SEQUENCE provider_account_revision;

CREATE TABLE provider_account (
    account_id         bigint      NOT NULL,
    channel            text        COLLATE "C" NOT NULL,
    provider           text        NOT NULL,
    settings           jsonb       NOT NULL,
    -- A JSON object of texts, sealed with the account's key.
    credentials_sealed bytea       NOT NULL,
    revision           bigint      NOT NULL DEFAULT nextval('provider_account_revision'),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, channel)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON provider_account TO %I', current_database());
        EXECUTE format('GRANT USAGE ON SEQUENCE provider_account_revision TO %I', current_database());
    END IF;
END $$;
