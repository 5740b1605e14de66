-- Wakes executions that this transaction has just laid to rest in a wait, because what they wait for was there already;
-- store/lookback.py. Primary key.
UPDATE execution e SET signals_sealed = u.signals_sealed, wake_at = wf_now()
FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS u (account_id, execution_id, signals_sealed)
WHERE e.account_id = u.account_id AND e.execution_id = u.execution_id AND e.status = 4
