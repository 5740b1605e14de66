-- How much was done when, per workflow and minute: folded from the same deltas as step_count, so that it costs the
-- commits nothing. `at` is the minute in which it was folded, seconds after it was done.
CREATE TABLE activity (
    account_id bigint NOT NULL,
    at timestamptz NOT NULL,
    workflow_id uuid NOT NULL,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    steps bigint NOT NULL,
    PRIMARY KEY (account_id, at, workflow_id)
);
CREATE INDEX activity_by_age ON activity (at);
ALTER TABLE activity ENABLE ROW LEVEL SECURITY;
ALTER TABLE activity FORCE ROW LEVEL SECURITY;
CREATE POLICY one_account ON activity TO wayfarer_api
    USING (account_id = nullif(current_setting('wayfarer.account_id', true), '')::bigint);
CREATE POLICY owner ON activity TO wayfarer_owner USING (true);

CREATE FUNCTION wf_forget_activity(most integer) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM activity WHERE ctid IN (SELECT ctid FROM activity
            WHERE at < wf_now() - interval '8 days' LIMIT most) RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;

REVOKE ALL ON FUNCTION wf_forget_activity(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_forget_activity(integer) TO wayfarer_worker;
GRANT SELECT ON activity TO wayfarer_api;
GRANT SELECT, INSERT, UPDATE ON activity TO wayfarer_worker;
