-- Locks the gates of contacts about to be enrolled, in order; tells the time, and the places of those who may not be
-- (none such, or opted out); store/enroll_many.py, in a statement before the one it protects. LATERAL, so that each is
-- found by the primary key, whatever is known of the account's size.
WITH ordered AS MATERIALIZED (
    SELECT contact_id, place FROM unnest($2::uuid[]) WITH ORDINALITY AS u (contact_id, place) ORDER BY contact_id
), locked AS MATERIALIZED (
    SELECT o.place, c.opted_out
    FROM ordered o
    LEFT JOIN LATERAL (
        SELECT CASE WHEN deleted_at IS NULL THEN opted_out END AS opted_out FROM contact
        WHERE account_id = $1 AND contact_id = o.contact_id
        FOR NO KEY UPDATE) AS c ON true
)
SELECT wf_now() AS now,
    coalesce(array_agg(place::integer) FILTER (WHERE opted_out IS NULL), '{}') AS missing,
    coalesce(array_agg(place::integer) FILTER (WHERE opted_out), '{}') AS opted_out
FROM locked
