-- Reads whose addresses these are, of several contacts with the same the first made; crm/addresses.py, under
-- lock_addresses. The addresses come first, whatever the planner knows of the tables: an account's records are many.
-- Served by contact_address_by_mac and the record's primary key.
WITH held AS MATERIALIZED (
    SELECT c.account_id, c.mac, c.contact_id
    FROM (SELECT DISTINCT account_id, mac FROM unnest($1::bigint[], $2::bytea[]) AS u (account_id, mac)) AS a
    JOIN contact_address c ON c.account_id = a.account_id AND c.mac = a.mac
)
SELECT DISTINCT ON (h.account_id, h.mac) h.account_id, h.mac, h.contact_id
FROM held h
JOIN contact_record r ON r.account_id = h.account_id AND r.contact_id = h.contact_id
ORDER BY h.account_id, h.mac, h.contact_id
