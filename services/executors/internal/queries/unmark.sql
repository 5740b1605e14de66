-- Takes back an effect's mark: nothing was sent; internal/repeats.py. Served by the primary key.
DELETE FROM notification_mark
WHERE account_id = $1 AND likeness = $2 AND execution_id = $3 AND step_id = $4 AND visit = $5
