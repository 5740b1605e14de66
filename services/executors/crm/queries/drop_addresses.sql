-- Forgets addresses that contacts no longer have; crm/addresses.py, with the contacts locked. Served by the primary key.
DELETE FROM contact_address a
USING unnest($1::bigint[], $2::uuid[], $3::text[]) AS u (account_id, contact_id, kind)
WHERE a.account_id = u.account_id AND a.contact_id = u.contact_id AND a.kind = u.kind COLLATE "C"
