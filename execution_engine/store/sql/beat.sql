-- Tells that a worker lives; dispatcher/heartbeat.py. No row back means it was retired: it must stop.
UPDATE worker SET heartbeat_at = clock_timestamp() WHERE worker_id = $1 AND retired_at IS NULL RETURNING worker_id
