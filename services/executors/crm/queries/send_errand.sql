-- Writes that an effect's first byte may leave now, or that none did ($5 NULL), if the attempt ($6, $7) still has it and
-- it is not done; crm/errands.py. Served by the primary key.
UPDATE errand SET sent_sealed = $5
WHERE account_id = $1 AND execution_id = $2 AND step_id = $3 AND visit = $4
    AND fence = $6 AND attempt = $7 AND result_sealed IS NULL
