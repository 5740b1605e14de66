-- Closes undone effects to every fence below the asking one; ledger.py (Reconcile). A returned key is NOT_DONE; one
-- not returned is done, under way, unknown, or closed by a fence as high already. Served by the primary key.
INSERT INTO effect_ledger AS l (account_id, execution_id, step_id, visit, fence, attempt, state)
SELECT u.account_id, u.execution_id, u.step_id, u.visit, u.fence, 0, 5
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[], $5::bigint[])
    AS u (account_id, execution_id, step_id, visit, fence)
ON CONFLICT (account_id, execution_id, step_id, visit) DO UPDATE SET
    fence = excluded.fence, attempt = 0, state = 5, result = NULL, updated_at = now()
WHERE l.state IN (3, 5) AND l.fence < excluded.fence
RETURNING account_id, execution_id, step_id, visit
