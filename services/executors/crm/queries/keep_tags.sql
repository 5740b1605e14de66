-- Adds the tags a contact does not have; crm/records.py, under the record's lock. Served by the primary key.
INSERT INTO contact_tag (account_id, contact_id, tag)
SELECT $1, $2, tag FROM unnest($3::text[]) AS tag ORDER BY tag COLLATE "C"
ON CONFLICT DO NOTHING
