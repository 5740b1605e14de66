-- Whose address it is, to know a contact again. Addresses themselves are the orchestrator's: here are keyed hashes.
CREATE TABLE contact_address (
    account_id bigint NOT NULL,
    contact_id uuid   NOT NULL,
    kind       text   COLLATE "C" NOT NULL CHECK (kind IN ('email', 'phone')),
    -- HMAC-SHA256 of kind and address under the account's key for "crm.address".
    mac        bytea  NOT NULL,
    PRIMARY KEY (account_id, contact_id, kind)
);
CREATE INDEX contact_address_by_mac ON contact_address (account_id, mac, contact_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON contact_address TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
