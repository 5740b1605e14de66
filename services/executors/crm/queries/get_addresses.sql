-- Reads whose addresses these are, of several contacts with the same the first made; crm/addresses.py, under
-- lock_addresses. Served by contact_address_by_mac and the record's primary key.
SELECT DISTINCT ON (a.account_id, a.mac) a.account_id, a.mac, c.contact_id
FROM (SELECT DISTINCT account_id, mac FROM unnest($1::bigint[], $2::bytea[]) AS u (account_id, mac)) AS a
JOIN contact_address c ON c.account_id = a.account_id AND c.mac = a.mac
JOIN contact_record r ON r.account_id = c.account_id AND r.contact_id = c.contact_id
ORDER BY a.account_id, a.mac, c.contact_id
