-- The crm part of a contact; its existence, address and consent are the orchestrator's.
CREATE TABLE contact_record (
    account_id  bigint      NOT NULL,
    contact_id  uuid        NOT NULL,
    -- The newest write of the contact service's that is in here; action effects leave it alone.
    revision    bigint      NOT NULL,
    -- {"first_name", "last_name", "time_zone", "fields"} as JSON, sealed for "crm.contact".
    data_sealed bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, contact_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE contact_tag (
    account_id bigint NOT NULL,
    contact_id uuid   NOT NULL,
    tag        text   COLLATE "C" NOT NULL CHECK (octet_length(tag) BETWEEN 1 AND 400),
    PRIMARY KEY (account_id, contact_id, tag)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON contact_record, contact_tag TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
