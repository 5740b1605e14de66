-- Claims due executions for a worker: raises the fence and turns wake_at into the lease's end.
-- dispatcher/claim.py, per (account, lane, quota); served by execution_due, whose dead entries below
-- the watermark ($5) are not read again. Locking the worker's own row fences the claim: a retired
-- worker claims nothing. Executions of a paused workflow are parked instead of claimed.
WITH me AS MATERIALIZED (
    SELECT worker_id FROM worker WHERE worker_id = $1 AND retired_at IS NULL FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT e.ctid AS place, w.status = 3 AS paused
    FROM me CROSS JOIN unnest($2::bigint[], $3::smallint[], $4::integer[]) AS ask (account_id, lane, quota)
    CROSS JOIN LATERAL (
        SELECT x.ctid, x.workflow_id
        FROM execution x
        WHERE x.account_id = ask.account_id AND x.lane = ask.lane
          AND x.wake_at >= $5 AND x.wake_at <= wf_now()
        ORDER BY x.wake_at
        LIMIT ask.quota
        FOR UPDATE SKIP LOCKED
    ) e
    JOIN workflow w ON w.account_id = ask.account_id AND w.workflow_id = e.workflow_id
)
UPDATE execution e SET
    fence = e.fence + 1,
    rev = e.rev + 1,
    status = CASE WHEN NOT d.paused THEN 2 WHEN e.status = 2 THEN 4 ELSE e.status END,
    lane = CASE WHEN d.paused THEN e.priority ELSE 0 END,
    worker_id = CASE WHEN d.paused THEN NULL ELSE $1 END,
    wake_at = CASE WHEN d.paused THEN NULL ELSE wf_now() + $6::interval END,
    parked = d.paused,
    crashes = e.crashes + CASE WHEN e.status = 2 THEN 1 ELSE 0 END
FROM due d
WHERE e.ctid = d.place
RETURNING d.paused, e.account_id, e.execution_id, e.workflow_id, e.contact_id, e.version, e.priority,
    old.status AS was, old.lane AS lane_was, old.wake_at AS due_at, e.blocked_on, e.fence, e.rev, e.step, e.visit, e.attempt,
    e.failures, e.crashes, e.attempt_open, e.open_seq, e.open_at, e.steps_run, e.log_seq, e.log_hash,
    e.input_sealed, e.state_sealed, e.asks, e.ask, e.ask_detail, e.held_on, e.resume_at, e.not_before, e.wait_seq,
    e.wait_sealed, e.signals_sealed, e.blocked_by, wf_now() AS now
