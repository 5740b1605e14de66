-- Ends at once the leases that retired workers hold in the given shards; dispatcher/shards.py.
-- Served by account_by_shard and execution_due (lane 0 holds leased rows only).
WITH orphan AS MATERIALIZED (
    SELECT e.ctid AS place
    FROM account a
    JOIN execution e ON e.account_id = a.account_id AND e.lane = 0 AND e.wake_at > wf_now()
    WHERE a.shard = ANY ($1::smallint[])
      AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.worker_id = e.worker_id AND w.retired_at IS NULL)
    ORDER BY e.account_id, e.execution_id
    LIMIT 1000
    FOR UPDATE OF e SKIP LOCKED
)
UPDATE execution e SET wake_at = wf_now() FROM orphan o WHERE e.ctid = o.place
