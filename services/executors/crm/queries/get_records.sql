-- Reads records with their tags; crm/records.py, for the workers' contact fetches. Served by both primary keys.
SELECT r.account_id, r.contact_id, r.data_sealed, r.owner_id,
       ARRAY(SELECT t.tag FROM contact_tag t
             WHERE t.account_id = r.account_id AND t.contact_id = r.contact_id ORDER BY t.tag) AS tags
FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)
JOIN contact_record r ON r.account_id = u.account_id AND r.contact_id = u.contact_id
