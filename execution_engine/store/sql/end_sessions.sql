-- Ends the database sessions of retired workers; dispatcher/shards.py. One that hangs in the middle of a commit holds
-- its rows locked, and in the middle of a COPY no timeout of the server's ends that. Waits up to half a
-- second for each of ten at most, so that it stays within the statement's time.
SELECT count(*) FILTER (WHERE pg_terminate_backend(s.pid, 500))
FROM worker w
JOIN pg_stat_activity s ON s.application_name = 'wayfarer worker ' || w.incarnation AND s.usename = current_user
WHERE w.worker_id = ANY ($1::integer[]) AND w.retired_at IS NOT NULL
