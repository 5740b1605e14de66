-- Writes back how announced attempts ended; ledger.py. Only the attempt that is still the recorded one, of this
-- process ($9), is written: one that was superseded meanwhile is not returned. Served by the primary key; HOT.
UPDATE effect_ledger AS l SET
    state = u.state, result = u.result, owner = NULL, deadline = NULL, updated_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::integer[], $7::smallint[],
            $8::bytea[])
    AS u (account_id, execution_id, step_id, visit, fence, attempt, state, result)
WHERE l.account_id = u.account_id AND l.execution_id = u.execution_id
    AND l.step_id = u.step_id AND l.visit = u.visit
    AND l.state = 1 AND l.owner = $9::uuid AND l.fence = u.fence AND l.attempt = u.attempt
