-- Ends at once the leases of a worker that it does not know of: a claim whose answer was lost; dispatcher/claim.py
-- after a failed claim. Served by account_by_shard and execution_due (lane 0 holds leased rows only).
WITH unheld AS MATERIALIZED (
    SELECT e.ctid AS place
    FROM account a
    JOIN execution e ON e.account_id = a.account_id AND e.lane = 0 AND e.wake_at > wf_now()
    WHERE a.shard = ANY ($2::smallint[]) AND e.worker_id = $1 AND e.execution_id <> ALL ($3::uuid[])
    ORDER BY e.account_id, e.execution_id
    FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e SET wake_at = wf_now(), crashes = greatest(e.crashes - 1, 0) FROM unheld u WHERE e.ctid = u.place
