-- Wakes parked executions whose workflow is not paused any more: a worker may have parked one on an older word
-- than the resume; services/worker, every few seconds. Probes execution_parked per workflow that is not paused.
WITH stray AS MATERIALIZED (
    SELECT e.ctid AS place
    FROM workflow w JOIN execution e ON e.account_id = w.account_id AND e.workflow_id = w.workflow_id AND e.parked
    WHERE w.status <> 3
    LIMIT 1000
    FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e SET parked = false, wake_at = wf_now(), rev = e.rev + 1 FROM stray s WHERE e.ctid = s.place
