-- Ended executions that are to settle now; dispatcher/settle.py. Served by execution_to_settle.
SELECT account_id, execution_id, workflow_id, contact_id, version, fence, rev, status, priority, step, visit,
    attempt, attempt_open, log_seq, log_hash, wf_now() AS now
FROM execution
WHERE settle_at <= wf_now() AND shard = ANY ($1::smallint[])
ORDER BY settle_at
LIMIT 200
