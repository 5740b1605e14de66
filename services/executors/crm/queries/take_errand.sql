-- Gives an effect that goes to a provider to a later attempt ($5, $6), unless a later one still has it or it is done;
-- crm/errands.py. Served by the primary key.
UPDATE errand SET fence = $5, attempt = $6
WHERE account_id = $1 AND execution_id = $2 AND step_id = $3 AND visit = $4
    AND (fence, attempt) < ($5, $6) AND result_sealed IS NULL
