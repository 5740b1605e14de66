-- Gives up shards, when another worker has fewer or at the end of a drain; dispatcher/shards.py.
UPDATE shard_owner SET worker_id = NULL, epoch = epoch + 1 WHERE worker_id = $1 AND shard = ANY ($2::smallint[]) RETURNING shard
