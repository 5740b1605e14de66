-- Announces attempts at effects that were tried before and are locked by lock_effects; ledger.py.
-- $7: remaining budgets in ms; $8: this process. Served by the primary key.
UPDATE effect_ledger AS l SET
    fence = u.fence, attempt = u.attempt, state = 1, owner = $8::uuid, result = NULL,
    deadline = clock_timestamp() + u.budget_ms * interval '1 millisecond', updated_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[], $7::bigint[])
    AS u (account_id, execution_id, step_id, visit, fence, attempt, budget_ms)
WHERE l.account_id = u.account_id AND l.execution_id = u.execution_id
    AND l.step_id = u.step_id AND l.visit = u.visit
