-- The earliest wake-up of every account and lane in the worker's shards; dispatcher/claim.py.
-- Served by account_by_shard and execution_due: one index probe per account and lane, from the watermark ($2) on.
SELECT a.account_id, lane.lane::smallint AS lane, a.active_limit, due.wake_at, wf_now() AS now
FROM account a
CROSS JOIN generate_series(0, 3) AS lane (lane)
CROSS JOIN LATERAL (
    SELECT e.wake_at FROM execution e
    WHERE e.account_id = a.account_id AND e.lane = lane.lane AND e.wake_at >= $2
    ORDER BY e.wake_at LIMIT 1
) due
WHERE a.shard = ANY ($1::smallint[])
