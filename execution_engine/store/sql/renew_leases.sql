-- Extends the leases a worker still holds; dispatcher/heartbeat.py, on its own thread and connection.
-- Only those past half of the lease; rows locked by a commit under way are renewed at the next beat. Primary key.
WITH mine AS MATERIALIZED (
    SELECT e.ctid AS place
    FROM unnest($2::bigint[], $3::uuid[], $4::bigint[]) AS u (account_id, execution_id, fence)
    JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id AND e.fence = u.fence
    WHERE e.worker_id = $1 AND e.wake_at < wf_now() + $5::interval / 2
    ORDER BY u.account_id, u.execution_id
    FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e SET wake_at = wf_now() + $5::interval FROM mine m WHERE e.ctid = m.place
