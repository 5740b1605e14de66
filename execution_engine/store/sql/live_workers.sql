-- Every worker not retired, with its shards; dispatcher/shards.py. Served by worker_live.
SELECT w.worker_id, w.host, w.pid,
    coalesce(array_agg(s.shard ORDER BY s.shard) FILTER (WHERE s.shard IS NOT NULL), '{}') AS shards
FROM worker w LEFT JOIN shard_owner s ON s.worker_id = w.worker_id
WHERE w.retired_at IS NULL
GROUP BY w.worker_id ORDER BY w.worker_id
