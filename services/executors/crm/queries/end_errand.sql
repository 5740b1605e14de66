-- Writes an effect's result, and forgets what it was made of; crm/errands.py, in the transaction that keeps our own part
-- of it. Served by the primary key.
UPDATE errand SET result_sealed = $5, told_sealed = '', sent_sealed = NULL
WHERE account_id = $1 AND execution_id = $2 AND step_id = $3 AND visit = $4
