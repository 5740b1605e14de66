-- What decides whether a message may go out (docs/sending.md). Every write here, and every change of a contact's
-- address or opt-out, raises contact.sending_rev under the contact's lock: the commit of an intent compares it.
ALTER TABLE contact
    ADD COLUMN sending_rev bigint NOT NULL DEFAULT 1,
    ADD COLUMN email_hash bytea,               -- keyed, to find an address that is stored sealed
    ADD COLUMN phone_hash bytea;
CREATE INDEX contact_by_email ON contact (account_id, email_hash) WHERE email_hash IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX contact_by_phone ON contact (account_id, phone_hash) WHERE phone_hash IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE consent (
    account_id bigint NOT NULL,
    contact_id uuid NOT NULL,
    channel smallint NOT NULL CHECK (channel BETWEEN 1 AND 4),      -- EMAIL SMS VOICE MESSENGER
    category smallint NOT NULL CHECK (category BETWEEN 1 AND 2),    -- MARKETING TRANSACTIONAL
    granted boolean NOT NULL,
    source text NOT NULL,                      -- who or what said so: a form, an actor, an event
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id, contact_id, channel, category)
);

-- Addresses nothing may be sent to. Kept by hash, so that an opt-out outlives its contact.
CREATE TABLE suppression (
    account_id bigint NOT NULL,
    address_hash bytea NOT NULL CHECK (octet_length(address_hash) = 16),
    channel smallint NOT NULL CHECK (channel BETWEEN 1 AND 4),
    category smallint NOT NULL CHECK (category BETWEEN 0 AND 2),    -- 0: every category
    reason text NOT NULL,                      -- HARD_BOUNCE COMPLAINT STOP …
    until timestamptz,
    source text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id, address_hash, channel, category)
);
CREATE INDEX suppression_by_age ON suppression (account_id, at, address_hash);

-- Messages begun to be sent: what caps count and people see. One row per effect, taken back if it failed for good.
CREATE TABLE message_intent (
    account_id bigint NOT NULL,
    contact_id uuid NOT NULL,
    at timestamptz NOT NULL,
    channel smallint NOT NULL,
    category smallint NOT NULL,
    execution_id uuid NOT NULL,
    step_id text NOT NULL,
    visit smallint NOT NULL,
    PRIMARY KEY (account_id, contact_id, execution_id, step_id, visit)
);
CREATE INDEX message_intent_by_age ON message_intent (at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['consent', 'suppression', 'message_intent'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_account ON %I TO wayfarer_api
                        USING (account_id = nullif(current_setting(''wayfarer.account_id'', true), '''')::bigint)', name);
        EXECUTE format('CREATE POLICY owner ON %I TO wayfarer_owner USING (true)', name);
    END LOOP;
END $$;

-- Intents past the longest window a cap may have.
CREATE FUNCTION wf_forget_intents(most integer) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM message_intent WHERE ctid IN (SELECT ctid FROM message_intent
            WHERE at < wf_now() - interval '91 days' LIMIT most) RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;

REVOKE ALL ON FUNCTION wf_forget_intents(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_forget_intents(integer) TO wayfarer_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON consent, suppression TO wayfarer_api;
GRANT SELECT ON message_intent TO wayfarer_api;
GRANT SELECT ON consent, suppression TO wayfarer_worker;
GRANT INSERT, UPDATE ON suppression TO wayfarer_worker;
GRANT SELECT, INSERT, DELETE ON message_intent TO wayfarer_worker;
GRANT UPDATE (sending_rev, email_hash, phone_hash) ON contact TO wayfarer_worker;
