-- Takes up to $2 shards that nobody alive owns; dispatcher/shards.py.
WITH free AS MATERIALIZED (
    SELECT s.shard FROM shard_owner s
    WHERE NOT EXISTS (SELECT 1 FROM worker w WHERE w.worker_id = s.worker_id AND w.retired_at IS NULL)
    ORDER BY s.shard LIMIT $2 FOR UPDATE OF s SKIP LOCKED
)
UPDATE shard_owner s SET worker_id = $1, epoch = s.epoch + 1 FROM free f WHERE s.shard = f.shard RETURNING s.shard
