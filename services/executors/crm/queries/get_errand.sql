-- Reads an effect that goes, or went, to a provider; crm/errands.py. Served by the primary key.
SELECT contact_id, told_sealed, sent_sealed, result_sealed, fence, attempt FROM errand
WHERE account_id = $1 AND execution_id = $2 AND step_id = $3 AND visit = $4
