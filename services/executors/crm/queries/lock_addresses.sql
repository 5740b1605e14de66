-- Lets one transaction at a time decide whose addresses these are, as no row is there to lock yet; crm/addresses.py, in
-- the batch's transaction. Locks in the order of the hashes' first 8 bytes.
SELECT pg_advisory_xact_lock(place)
FROM (SELECT DISTINCT ('x' || encode(substr(mac, 1, 8), 'hex'))::bit(64)::bigint AS place
      FROM unnest($1::bytea[]) AS mac ORDER BY place) AS places
