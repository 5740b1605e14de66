-- Writes an effect's result; crm/errands.py, in the transaction that keeps our own part of it. Served by the primary key.
UPDATE errand SET result_sealed = $5
WHERE account_id = $1 AND execution_id = $2 AND step_id = $3 AND visit = $4
