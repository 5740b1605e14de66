-- Events of contacts since their waits began to look, newest last; store/lookback.py, under the contacts' gates.
-- Served by event_by_contact; event ids are UUIDv7, so that $5 bounds the partitions too.
SELECT u.place, e.event_id, e.type, e.occurred_at, e.data_sealed
FROM unnest($1::integer[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::uuid[]) AS u (place, account_id, contact_id, since, least)
CROSS JOIN LATERAL (
    SELECT x.event_id, x.type, x.occurred_at, x.data_sealed FROM event x
    WHERE x.account_id = u.account_id AND x.contact_id = u.contact_id AND x.event_id >= u.least
      AND x.received_at > u.since AND x.type = ANY ($6::text[])
    ORDER BY x.event_id LIMIT 100
) e
ORDER BY u.place, e.event_id
