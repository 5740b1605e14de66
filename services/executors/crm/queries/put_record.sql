-- Writes a whole record unless a write as new is in it already, then returns nothing; crm/records.py. Served by the
-- primary key.
INSERT INTO contact_record AS r (account_id, contact_id, revision, data_sealed)
VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, contact_id) DO UPDATE SET
    revision = excluded.revision, data_sealed = excluded.data_sealed, updated_at = now()
WHERE r.revision < excluded.revision
RETURNING r.revision
