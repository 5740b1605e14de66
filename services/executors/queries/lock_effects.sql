-- Locks known effects in key order to decide whether they are tried again; ledger.py, in a transaction with
-- resume_sending. Served by the primary key.
SELECT l.account_id, l.execution_id, l.step_id, l.visit, l.fence, l.attempt, l.state, l.result,
       greatest(0, ceil(extract(epoch FROM l.deadline - clock_timestamp()) * 1000))::bigint AS remaining_ms
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[]) AS u (account_id, execution_id, step_id, visit)
JOIN effect_ledger l ON l.account_id = u.account_id AND l.execution_id = u.execution_id
    AND l.step_id = u.step_id AND l.visit = u.visit
ORDER BY l.account_id, l.execution_id, l.step_id, l.visit
FOR UPDATE OF l
