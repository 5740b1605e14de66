-- Adds deltas of counters per version and step, in the transaction of what they count; store/counts.py.
INSERT INTO step_delta (account_id, workflow_id, version, step_id, entered, done, failed, waiting)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::text[], $5::integer[], $6::integer[], $7::integer[],
    $8::integer[])
