-- Gives claimed executions back untouched, because what they need cannot be had now; dispatcher/worker.py.
-- A run that never did anything is QUEUED again, as if not claimed. Fenced; primary key.
WITH item AS MATERIALIZED (
    SELECT e.ctid AS place
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS u (account_id, execution_id, fence)
    JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id AND e.fence = u.fence
    WHERE e.status = 2
    ORDER BY u.account_id, u.execution_id
    FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e SET rev = e.rev + 1, status = CASE WHEN e.log_seq = 1 THEN 1 ELSE 4 END, lane = e.priority,
    worker_id = NULL, wake_at = wf_now() + $4::interval, crashes = greatest(e.crashes - 1, 0)
FROM item i WHERE e.ctid = i.place
