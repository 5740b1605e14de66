-- Failures that somebody may have to be told of, and the notices that tell of them.
CREATE TABLE failure_notice (
    account_id bigint NOT NULL,
    execution_id uuid NOT NULL,
    failed_seq integer NOT NULL,          -- log position after its end: an execution may fail again
    workflow_id uuid NOT NULL,
    step_id text NOT NULL,
    error_class smallint NOT NULL,
    code text NOT NULL,
    message text NOT NULL,                -- no personal data: a failure's message has none
    failed_at timestamptz NOT NULL,
    notice_id uuid,                       -- the notice that tells of it, fixed before anything is sent
    closed_at timestamptz,                -- told, or not wanted
    PRIMARY KEY (account_id, execution_id, failed_seq)
);
CREATE INDEX failure_notice_open ON failure_notice (account_id, workflow_id, step_id, error_class, code)
    WHERE notice_id IS NULL AND closed_at IS NULL;
CREATE INDEX failure_notice_of ON failure_notice (account_id, notice_id) WHERE notice_id IS NOT NULL;
CREATE INDEX failure_notice_by_age ON failure_notice (failed_at);
CREATE TABLE notice (
    account_id bigint NOT NULL,
    notice_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    step_id text NOT NULL,
    error_class smallint NOT NULL,
    code text NOT NULL,
    targets_sealed bytea NOT NULL,        -- each target with what became of it
    tries smallint NOT NULL DEFAULT 0,
    made_at timestamptz NOT NULL,
    next_at timestamptz,                  -- when it is sent (again); none once it is over
    PRIMARY KEY (account_id, notice_id)
);
CREATE INDEX notice_due ON notice (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX notice_of_group ON notice (account_id, workflow_id, step_id, error_class, code, made_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['failure_notice', 'notice'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_account ON %I TO wayfarer_api
                        USING (account_id = nullif(current_setting(''wayfarer.account_id'', true), '''')::bigint)', name);
        EXECUTE format('CREATE POLICY owner ON %I TO wayfarer_owner USING (true)', name);
    END LOOP;
END $$;
GRANT SELECT ON failure_notice, notice TO wayfarer_api;
GRANT SELECT, INSERT, UPDATE ON failure_notice, notice TO wayfarer_worker;
