-- Adds deltas of counters per version, in the transaction of what they count; store/counts.py.
INSERT INTO step_delta (account_id, workflow_id, version, deltas)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::jsonb[])
