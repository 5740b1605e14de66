-- Deletes a record; crm/records.py. Served by the primary key.
DELETE FROM contact_record WHERE account_id = $1 AND contact_id = $2
