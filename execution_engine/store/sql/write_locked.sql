-- Writes an execution that the caller has locked and nobody may drive from here on: the fence is raised, so that a
-- driver's next write finds its row gone; store/locked.py. Primary key.
UPDATE execution SET
    fence = fence + 1, rev = rev + 1, asks = asks + 1, worker_id = NULL, lane = priority, parked = $5, open_seq = 0,
    status = $3::smallint, blocked_on = $4, wake_at = $6, version = $7, step = $8, visit = $9, attempt = $10, failures = $11,
    attempt_open = $12, log_seq = $13, log_hash = $14, state_sealed = $15, reason = $16, failure = $17, ended_at = $18,
    ask = 0, ask_detail = $19, held_on = $20, resume_at = $21, not_before = $22, adhoc_no = $23, wait_seq = $24,
    wait_sealed = $25, signals_sealed = $26, crashes = $27, steps_run = $28,
    settle_at = CASE WHEN $3::smallint NOT IN (5, 7) THEN NULL
        ELSE wf_now() + CASE WHEN attempt_open THEN interval '2 seconds' ELSE interval '0' END END,
    updated_at = wf_now()
WHERE account_id = $1 AND execution_id = $2
