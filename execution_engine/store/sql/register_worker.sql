-- Enters a worker process; dispatcher/shards.py at start.
INSERT INTO worker (incarnation, host, pid) VALUES ($1, $2, $3) RETURNING worker_id
