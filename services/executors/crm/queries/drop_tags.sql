-- Removes a contact's tags but those named; crm/records.py, under the record's lock. Served by the primary key.
DELETE FROM contact_tag WHERE account_id = $1 AND contact_id = $2 AND tag <> ALL ($3::text[])
