-- Writes who a contact is at a provider, if there is such a contact; crm/errands.py. Served by the primary key.
INSERT INTO contact_elsewhere AS e (account_id, contact_id, site, their_id)
SELECT r.account_id, r.contact_id, $3, $4 FROM contact_record r
WHERE r.account_id = $1 AND r.contact_id = $2
FOR KEY SHARE OF r
ON CONFLICT (account_id, contact_id, site) DO UPDATE SET their_id = excluded.their_id
WHERE e.their_id <> excluded.their_id
