-- What is kept for accounts whose crm is at a provider: who a contact is there, and what was sent.

-- The address itself, sealed for "crm.address_text": providers know contacts by it. NULL for those told before this.
ALTER TABLE contact_address ADD COLUMN text_sealed bytea;

CREATE TABLE contact_elsewhere (
    account_id bigint NOT NULL,
    contact_id uuid   NOT NULL,
    -- Provider and its division, e.g. "leadconnector:LOCATION".
    site       text   COLLATE "C" NOT NULL,
    their_id   text   COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, contact_id, site)
);

-- One per effect that goes to a provider, from before its first byte until after the last try.
CREATE TABLE errand (
    account_id    bigint      NOT NULL,
    execution_id  uuid        NOT NULL,
    step_id       text        COLLATE "C" NOT NULL,
    visit         integer     NOT NULL,
    contact_id    uuid        NOT NULL,
    -- {"config", "plan"} as JSON, sealed for "crm.errand", as the two below; empty once there is a result.
    told_sealed   bytea       NOT NULL,
    -- What the provider can be asked by; NULL while nothing was sent.
    sent_sealed   bytea,
    -- The result, once it is done here and there.
    result_sealed bytea,
    begun_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, execution_id, step_id, visit)
) WITH (fillfactor = 70);
CREATE INDEX errand_by_contact ON errand (account_id, contact_id);
CREATE INDEX errand_by_age ON errand USING brin (begun_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON contact_elsewhere, errand TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
