-- Enters executions as QUEUED and due, with their dedup rows and first log entries; store/enrollment.py.
-- A dedup row not taken is within its window: the constraint, not a check, makes 64 simultaneous callers one, and
-- the caller compares the number and rolls back. Rows come in key order. Served by the primary keys.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::smallint[], $7::bytea[], $9::bytea[],
                         $10::text[])
        AS u (execution_id, workflow_id, contact_id, version, priority, log_hash, input_sealed, entry_key)
), taken AS (
    INSERT INTO enrollment AS e (account_id, workflow_id, contact_id, entry_key, execution_id, started_at)
    SELECT $1, workflow_id, contact_id, entry_key, execution_id, $8
    FROM asked ORDER BY contact_id, workflow_id, entry_key
    ON CONFLICT (account_id, workflow_id, contact_id, entry_key) DO UPDATE
        SET execution_id = excluded.execution_id, started_at = excluded.started_at
        WHERE e.started_at + make_interval(secs => (
            SELECT w.dedup_window_ms FROM workflow w
            WHERE w.account_id = e.account_id AND w.workflow_id = e.workflow_id) / 1000.0) <= excluded.started_at
    RETURNING e.execution_id
), entered AS (
    INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority, lane,
        blocked_on, wake_at, step, log_seq, log_hash, input_sealed, created_at, updated_at)
    SELECT $1, u.execution_id, u.workflow_id, u.contact_id, u.version, a.shard, 1, u.priority, u.priority,
        1, $8, 0, 1, u.log_hash, u.input_sealed, $8, $8
    FROM asked u JOIN account a ON a.account_id = $1
), logged AS (
    INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt,
        at, outcome, detail, hash)
    SELECT $1, execution_id, 1, 1, $11, '', '', 0, 0, $8, 0, '', log_hash FROM asked
)
SELECT count(*) FROM taken
