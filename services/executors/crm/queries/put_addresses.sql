-- Writes contacts' addresses; crm/addresses.py, with the contacts locked or new. In key order. Served by the primary key.
INSERT INTO contact_address AS a (account_id, contact_id, kind, mac, text_sealed)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[])
    AS u (account_id, contact_id, kind, mac, text_sealed)
ORDER BY account_id, contact_id, kind COLLATE "C"
ON CONFLICT (account_id, contact_id, kind) DO UPDATE SET mac = excluded.mac, text_sealed = excluded.text_sealed
WHERE a.mac <> excluded.mac OR a.text_sealed IS NULL
