-- Adds one tag per row to known contacts, for a batch; crm/add_tag.py, in the batch's transaction. `known` and
-- `changed` are NULL when they would name every row. Inserts in key order. Served by both primary keys.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[]) WITH ORDINALITY
        AS a (account_id, contact_id, tag, place)
), known AS MATERIALIZED (
    SELECT a.account_id, a.contact_id, a.tag, a.place
    FROM asked a JOIN contact_record r ON r.account_id = a.account_id AND r.contact_id = a.contact_id
    ORDER BY a.account_id, a.contact_id, a.tag COLLATE "C", a.place
), added AS (
    INSERT INTO contact_tag (account_id, contact_id, tag)
    SELECT account_id, contact_id, tag FROM known
    ON CONFLICT DO NOTHING
    RETURNING account_id, contact_id, tag
), counted AS MATERIALIZED (
    SELECT (SELECT count(*) FROM known) AS known, (SELECT count(*) FROM added) AS added
)
SELECT CASE WHEN counted.known < cardinality($1) THEN
           (SELECT coalesce(array_agg(place), '{}') FROM known) END AS known,
       CASE WHEN counted.added < cardinality($1) THEN
           (SELECT coalesce(array_agg(place), '{}') FROM
               (SELECT min(place) AS place FROM known
                WHERE (account_id, contact_id, tag) IN (SELECT account_id, contact_id, tag FROM added)
                GROUP BY account_id, contact_id, tag) AS first) END AS changed
FROM counted
