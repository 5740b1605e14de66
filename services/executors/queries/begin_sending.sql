-- Announces attempts at effects nobody tried before, durable before their first byte; ledger.py. Rows come in key
-- order; a key not returned is known already. $7: remaining budgets in ms; $8: this process. Served by the primary key.
INSERT INTO effect_ledger (account_id, execution_id, step_id, visit, fence, attempt, state, owner, deadline)
SELECT u.account_id, u.execution_id, u.step_id, u.visit, u.fence, u.attempt, 1, $8::uuid,
       clock_timestamp() + u.budget_ms * interval '1 millisecond'
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[], $7::bigint[])
    AS u (account_id, execution_id, step_id, visit, fence, attempt, budget_ms)
ON CONFLICT (account_id, execution_id, step_id, visit) DO NOTHING
RETURNING account_id, execution_id, step_id, visit
