-- Writes the owners of contacts that lock_contacts has locked; crm/contacts.py. Served by the primary key.
UPDATE contact_record r SET owner_id = u.owner_id, updated_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS u (account_id, contact_id, owner_id)
WHERE r.account_id = u.account_id AND r.contact_id = u.contact_id
