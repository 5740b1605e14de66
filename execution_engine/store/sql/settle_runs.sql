-- Moves ended executions whose last attempt is settled to the history; dispatcher/settle.py. Fenced; primary key.
-- log_seq and log_hash are those after the entry that settled them, or as they were.
WITH item AS MATERIALIZED (
    SELECT e.ctid AS place, u.*
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::integer[], $5::integer[], $6::bytea[])
        AS u (account_id, execution_id, fence, rev, log_seq, log_hash)
    JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id
        AND e.fence = u.fence AND e.rev = u.rev
    WHERE e.status IN (5, 7)
    ORDER BY u.account_id, u.execution_id
    FOR UPDATE OF e SKIP LOCKED
), gone AS (
    DELETE FROM execution e USING item i WHERE e.ctid = i.place
    RETURNING e.*, i.log_seq AS seq_now, i.log_hash AS hash_now
)
INSERT INTO execution_history (account_id, execution_id, workflow_id, contact_id, version, status, priority, step,
    visit, attempt, failures, steps_run, log_seq, log_hash, input_sealed, state_sealed, reason, failure,
    created_at, updated_at, ended_at)
SELECT account_id, execution_id, workflow_id, contact_id, version, status, priority, step,
    visit, attempt, failures, steps_run, seq_now, hash_now, input_sealed, state_sealed, reason, failure,
    created_at, wf_now(), ended_at
FROM gone
RETURNING execution_id
