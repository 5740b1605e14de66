-- Puts settling off: an attempt is still under way, or its executor cannot be asked; dispatcher/settle.py. Primary key.
UPDATE execution e SET settle_at = wf_now() + make_interval(secs => u.seconds)
FROM unnest($1::bigint[], $2::uuid[], $3::float8[]) AS u (account_id, execution_id, seconds)
WHERE e.account_id = u.account_id AND e.execution_id = u.execution_id AND e.settle_at IS NOT NULL
