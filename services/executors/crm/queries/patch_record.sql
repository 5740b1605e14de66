-- Writes a record that lock_records has locked, with the revision it now holds; crm/records.py. Served by the
-- primary key.
UPDATE contact_record SET revision = $3, data_sealed = $4, updated_at = now()
WHERE account_id = $1 AND contact_id = $2
