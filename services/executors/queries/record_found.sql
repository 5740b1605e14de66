-- Records what a provider told of effects in doubt; ledger.py (Reconcile). Only a row that is still as it was read
-- ($5 to $7: fence, attempt, state; no attempt under way) is written. Rows come in key order. Served by the primary key.
UPDATE effect_ledger AS l SET
    fence = u.fence, attempt = u.attempt, state = u.state, result = u.result, owner = NULL, deadline = NULL,
    updated_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[], $7::smallint[],
            $8::bigint[], $9::integer[], $10::smallint[], $11::bytea[])
    AS u (account_id, execution_id, step_id, visit, read_fence, read_attempt, read_state, fence, attempt, state, result)
WHERE l.account_id = u.account_id AND l.execution_id = u.execution_id
    AND l.step_id = u.step_id AND l.visit = u.visit
    AND l.fence = u.read_fence AND l.attempt = u.read_attempt AND l.state = u.read_state
    AND (l.deadline IS NULL OR l.deadline <= clock_timestamp())
RETURNING l.account_id, l.execution_id, l.step_id, l.visit
