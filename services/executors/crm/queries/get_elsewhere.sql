-- Reads who a contact is at a provider; crm/errands.py. Served by the primary key.
SELECT their_id FROM contact_elsewhere WHERE account_id = $1 AND contact_id = $2 AND site = $3
