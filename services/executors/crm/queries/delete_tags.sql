-- Deletes all tags of a contact without a record; crm/records.py, also after the record is gone, for a tag that was
-- being added meanwhile. Served by both primary keys.
DELETE FROM contact_tag t WHERE t.account_id = $1 AND t.contact_id = $2
    AND NOT EXISTS (SELECT FROM contact_record r WHERE r.account_id = t.account_id AND r.contact_id = t.contact_id)
