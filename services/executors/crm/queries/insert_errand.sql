-- Writes an effect that is to go to a provider, and whose attempt ($7, $8) has it; crm/errands.py. Served by the primary key.
INSERT INTO errand (account_id, execution_id, step_id, visit, contact_id, told_sealed, fence, attempt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
