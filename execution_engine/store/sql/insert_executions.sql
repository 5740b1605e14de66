-- Enters executions as QUEUED and due; store/enrollment.py.
INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority, lane,
    blocked_on, wake_at, step, log_seq, log_hash, input_sealed, created_at, updated_at)
SELECT $1, u.execution_id, u.workflow_id, u.contact_id, u.version, a.shard, 1, u.priority, u.priority,
    1, $8, 0, 1, u.log_hash, u.input_sealed, $8, $8
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::smallint[], $7::bytea[], $9::bytea[])
    AS u (execution_id, workflow_id, contact_id, version, priority, log_hash, input_sealed)
JOIN account a ON a.account_id = $1
