-- Moves leased executions out of ACTIVE that stay in the table: waiting, failed, held; dispatcher/commit.py.
-- Fenced like advance_runs. Served by the primary key.
WITH item AS MATERIALIZED (
    SELECT e.ctid AS place, u.*
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::integer[], $5::smallint[], $6::smallint[],
                $7::smallint[], $8::smallint[], $9::integer[], $10::integer[], $11::integer[],
                $12::bytea[], $13::bytea[], $14::integer[],
                $16::smallint[], $17::smallint[], $18::timestamptz[], $19::boolean[], $20::text[], $21::text[],
                $22::timestamptz[], $23::timestamptz[], $24::smallint[], $25::timestamptz[], $26::timestamptz[],
                $27::integer[], $28::bytea[], $29::bytea[], $30::text[])
        AS u (account_id, execution_id, fence, rev, step, visit, attempt, failures, open_seq, steps_run,
              log_seq, log_hash, state_sealed, asks,
              status, blocked_on, wake_at, attempt_open, reason, failure, ended_at, open_at, held_on, resume_at, not_before,
              wait_seq, wait_sealed, signals_sealed, blocked_by)
    JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id
        AND e.fence = u.fence AND e.rev = u.rev AND e.asks = u.asks
    ORDER BY u.account_id, u.execution_id
    FOR UPDATE OF e SKIP LOCKED
)
-- moved:
UPDATE execution e SET
    rev = e.rev + 1, status = i.status, blocked_on = i.blocked_on, wake_at = i.wake_at, parked = (i.status = 4 AND i.wake_at IS NULL),
    lane = e.priority,
    worker_id = NULL, step = i.step, visit = i.visit, attempt = i.attempt, failures = i.failures,
    attempt_open = i.attempt_open, open_seq = i.open_seq, open_at = i.open_at,
    steps_run = i.steps_run, log_seq = i.log_seq, log_hash = i.log_hash,
    state_sealed = coalesce(i.state_sealed, e.state_sealed), reason = i.reason, failure = i.failure,
    ended_at = i.ended_at, updated_at = $15, ask = 0, held_on = i.held_on,
    resume_at = i.resume_at, not_before = i.not_before, wait_seq = i.wait_seq, wait_sealed = i.wait_sealed,
    signals_sealed = i.signals_sealed, blocked_by = i.blocked_by,
    crashes = CASE WHEN e.step = i.step AND e.visit = i.visit THEN e.crashes ELSE 0 END
FROM item i
WHERE e.ctid = i.place
RETURNING e.execution_id
