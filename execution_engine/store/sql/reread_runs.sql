-- Where leased executions stand after a commit whose answer is in doubt, or that skipped them as locked;
-- dispatcher/commit.py. Hot rows with their fence and rev, history rows with fence NULL. Primary keys.
SELECT e.execution_id, e.fence, e.rev, e.asks, e.log_hash
FROM execution e JOIN unnest($1::bigint[], $2::uuid[]) AS u (account_id, execution_id) USING (account_id, execution_id)
UNION ALL
SELECT h.execution_id, NULL, NULL, NULL, h.log_hash
FROM execution_history h JOIN unnest($1::bigint[], $2::uuid[]) AS u (account_id, execution_id) USING (account_id, execution_id)
