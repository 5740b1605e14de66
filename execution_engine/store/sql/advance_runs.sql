-- Moves leased executions on that stay ACTIVE; dispatcher/commit.py. Fenced: a row whose fence, rev or asks
-- differ, or that somebody else has locked, is not returned. open_at is the moment the start's hash was made of,
-- which for a move that flies again is not this transaction's ($15, and NULL in $16 stands for it). Served by the primary key; a HOT update.
WITH item AS MATERIALIZED (
    SELECT e.ctid AS place, u.*
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::integer[], $5::smallint[], $6::smallint[],
                $7::smallint[], $8::smallint[], $9::integer[], $10::integer[], $11::integer[],
                $12::bytea[], $13::bytea[], $14::integer[], $16::timestamptz[])
        AS u (account_id, execution_id, fence, rev, step, visit, attempt, failures, open_seq, steps_run,
              log_seq, log_hash, state_sealed, asks, open_at)
    JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id
        AND e.fence = u.fence AND e.rev = u.rev AND e.asks = u.asks
    ORDER BY u.account_id, u.execution_id
    FOR UPDATE OF e SKIP LOCKED
)
-- moved:
UPDATE execution e SET
    rev = e.rev + 1, blocked_on = 0, step = i.step, visit = i.visit, attempt = i.attempt, failures = i.failures,
    attempt_open = true, open_seq = i.open_seq, open_at = coalesce(i.open_at, $15), steps_run = i.steps_run, log_seq = i.log_seq,
    log_hash = i.log_hash, state_sealed = coalesce(i.state_sealed, e.state_sealed), updated_at = $15,
    ask = 0, signals_sealed = NULL, wait_seq = 0,
    crashes = CASE WHEN e.step = i.step AND e.visit = i.visit THEN e.crashes ELSE 0 END
FROM item i
WHERE e.ctid = i.place
RETURNING e.execution_id
