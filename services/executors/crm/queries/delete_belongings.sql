-- Deletes what was kept about a contact without a record; crm/records.py. Whoever writes such rows holds the record
-- until they are committed, so all of them are seen once it is gone. Served by the primary keys
-- and errand_by_contact.
WITH gone AS MATERIALIZED (
    SELECT $1::bigint AS account_id, $2::uuid AS contact_id
    WHERE NOT EXISTS (SELECT FROM contact_record WHERE account_id = $1 AND contact_id = $2)
), notes AS (
    DELETE FROM contact_note n USING gone WHERE n.account_id = gone.account_id AND n.contact_id = gone.contact_id
), tasks AS (
    DELETE FROM contact_task t USING gone WHERE t.account_id = gone.account_id AND t.contact_id = gone.contact_id
), addresses AS (
    DELETE FROM contact_address a USING gone
    WHERE a.account_id = gone.account_id AND a.contact_id = gone.contact_id
), known AS (
    DELETE FROM contact_elsewhere k USING gone
    WHERE k.account_id = gone.account_id AND k.contact_id = gone.contact_id
), errands AS (
    DELETE FROM errand e USING gone WHERE e.account_id = gone.account_id AND e.contact_id = gone.contact_id
), enrolments AS (
    DELETE FROM campaign_enrolment e USING gone
    WHERE e.account_id = gone.account_id AND e.contact_id = gone.contact_id
)
DELETE FROM opportunity o USING gone WHERE o.account_id = gone.account_id AND o.contact_id = gone.contact_id
