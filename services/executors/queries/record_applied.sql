-- Records the results of a batch of TX effects, in their transaction; transactional.py. A key that is new, or whose
-- recorded attempt is older and undone, is written; the caller compares the row count and rolls back if one is not.
-- Rows come in key order. Served by the primary key.
INSERT INTO effect_ledger AS l (account_id, execution_id, step_id, visit, fence, attempt, state, result)
SELECT u.account_id, u.execution_id, u.step_id, u.visit, u.fence, u.attempt, u.state, u.result
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[], $7::smallint[],
            $8::bytea[])
    AS u (account_id, execution_id, step_id, visit, fence, attempt, state, result)
ON CONFLICT (account_id, execution_id, step_id, visit) DO UPDATE SET
    fence = excluded.fence, attempt = excluded.attempt, state = excluded.state, result = excluded.result,
    owner = NULL, deadline = NULL, updated_at = now()
WHERE l.state <> 2 AND (l.fence, l.attempt) < (excluded.fence, excluded.attempt)
