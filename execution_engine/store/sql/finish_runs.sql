-- Moves leased executions that have completed to the history; dispatcher/commit.py.
-- Fenced like advance_runs. Served by the primary key.
WITH item AS MATERIALIZED (
    SELECT e.ctid AS place, u.*
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::integer[], $5::smallint[], $6::smallint[],
                $7::smallint[], $8::smallint[], $9::integer[], $10::integer[], $11::integer[],
                $12::bytea[], $13::bytea[], $14::integer[], $16::text[])
        AS u (account_id, execution_id, fence, rev, step, visit, attempt, failures, open_seq, steps_run,
              log_seq, log_hash, state_sealed, asks, reason)
    JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id
        AND e.fence = u.fence AND e.rev = u.rev AND e.asks = u.asks
    ORDER BY u.account_id, u.execution_id
    FOR UPDATE OF e SKIP LOCKED
), gone AS (
    DELETE FROM execution e USING item i WHERE e.ctid = i.place
    RETURNING e.account_id, e.execution_id, e.workflow_id, e.contact_id, e.version, e.priority,
        i.step, i.visit, i.attempt, i.failures, i.steps_run, i.log_seq, i.log_hash, e.input_sealed,
        coalesce(i.state_sealed, e.state_sealed) AS state_sealed, i.reason, e.created_at
)
-- moved:
INSERT INTO execution_history (account_id, execution_id, workflow_id, contact_id, version, status, priority, step,
    visit, attempt, failures, steps_run, log_seq, log_hash, input_sealed, state_sealed, reason, failure,
    created_at, updated_at, ended_at)
SELECT account_id, execution_id, workflow_id, contact_id, version, 5, priority, step,
    visit, attempt, failures, steps_run, log_seq, log_hash, input_sealed, state_sealed, reason, NULL,
    created_at, $15, $15
FROM gone
RETURNING execution_id
