-- Retires workers that are dead: no heartbeat for $2, or named as dead ($3); dispatcher/shards.py.
-- FOR UPDATE waits for claims under way (they hold FOR KEY SHARE), so none can commit after.
WITH dead AS MATERIALIZED (
    SELECT worker_id FROM worker
    WHERE retired_at IS NULL AND worker_id <> $1
      AND (heartbeat_at < clock_timestamp() - $2::interval OR worker_id = ANY ($3::integer[]))
    ORDER BY worker_id FOR UPDATE
)
UPDATE worker w SET retired_at = clock_timestamp() FROM dead d WHERE w.worker_id = d.worker_id RETURNING w.worker_id
