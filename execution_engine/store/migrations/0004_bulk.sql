-- Operations on many executions or contacts: a list of items, worked off at a pace, with an outcome for each.
CREATE TABLE bulk_operation (
    account_id bigint NOT NULL,
    operation_id uuid NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),     -- RETRY CANCEL ENROLL MIGRATE
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 5),   -- RUNNING PAUSED DONE CANCELLED GATHERING
    params_sealed bytea NOT NULL,
    actor text NOT NULL,
    per_tick integer NOT NULL CHECK (per_tick > 0),
    tick interval NOT NULL,                                  -- every so often, so many items
    next_at timestamptz,
    cursor uuid,                                             -- how far the contacts have been looked through
    total integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (account_id, operation_id)
);
CREATE INDEX bulk_operation_due ON bulk_operation (next_at) WHERE next_at IS NOT NULL;
CREATE TABLE bulk_item (
    account_id bigint NOT NULL,
    operation_id uuid NOT NULL,
    item integer NOT NULL,
    subject uuid NOT NULL,                 -- an execution, or a contact to enrol
    outcome text NOT NULL DEFAULT '',      -- '' while it is to be done
    execution_id uuid,
    PRIMARY KEY (account_id, operation_id, item)
);
CREATE INDEX bulk_item_to_do ON bulk_item (account_id, operation_id, item) WHERE outcome = '';

-- Operations whose next tick has come, over all accounts: for the API's runner.
CREATE FUNCTION wf_bulk_due(most integer) RETURNS TABLE (account_id bigint, operation_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, operation_id FROM bulk_operation WHERE next_at <= wf_now() ORDER BY next_at LIMIT most';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['bulk_operation', 'bulk_item'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_account ON %I TO wayfarer_api
                        USING (account_id = nullif(current_setting(''wayfarer.account_id'', true), '''')::bigint)', name);
        EXECUTE format('CREATE POLICY owner ON %I TO wayfarer_owner USING (true)', name);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION wf_bulk_due(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_bulk_due(integer) TO wayfarer_api;
GRANT SELECT, INSERT, UPDATE ON bulk_operation, bulk_item TO wayfarer_api;
