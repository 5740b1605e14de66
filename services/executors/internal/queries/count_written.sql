-- Counts what an effect has written; internal/inbox.py. Served by the unique key of effects.
SELECT count(*) FROM notification
WHERE account_id = $1 AND execution_id = $2 AND step_id = $3 AND visit = $4
