-- Removes one tag per row from known contacts, for a batch; crm/remove_tag.py, in the batch's transaction. `known`
-- and `changed` are NULL when they would name every row. Locks in key order. Served by both primary keys.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[]) WITH ORDINALITY
        AS a (account_id, contact_id, tag, place)
), known AS MATERIALIZED (
    SELECT a.account_id, a.contact_id, a.tag, a.place
    FROM asked a JOIN contact_record r ON r.account_id = a.account_id AND r.contact_id = a.contact_id
), doomed AS MATERIALIZED (
    SELECT t.account_id, t.contact_id, t.tag
    FROM (SELECT DISTINCT account_id, contact_id, tag FROM known) k
    JOIN contact_tag t ON t.account_id = k.account_id AND t.contact_id = k.contact_id AND t.tag = k.tag
    ORDER BY t.account_id, t.contact_id, t.tag
    FOR UPDATE OF t
), removed AS (
    DELETE FROM contact_tag t USING doomed d
    WHERE t.account_id = d.account_id AND t.contact_id = d.contact_id AND t.tag = d.tag
    RETURNING t.account_id, t.contact_id, t.tag
), counted AS MATERIALIZED (
    SELECT (SELECT count(*) FROM known) AS known, (SELECT count(*) FROM removed) AS removed
)
SELECT CASE WHEN counted.known < cardinality($1) THEN
           (SELECT coalesce(array_agg(place), '{}') FROM known) END AS known,
       CASE WHEN counted.removed < cardinality($1) THEN
           (SELECT coalesce(array_agg(place), '{}') FROM
               (SELECT min(place) AS place FROM known
                WHERE (account_id, contact_id, tag) IN (SELECT account_id, contact_id, tag FROM removed)
                GROUP BY account_id, contact_id, tag) AS first) END AS changed
FROM counted
