-- Forgets who a contact was at a provider, if still that one; crm/errands.py. Served by the primary key.
DELETE FROM contact_elsewhere WHERE account_id = $1 AND contact_id = $2 AND site = $3 AND their_id = $4
