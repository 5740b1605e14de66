-- Reads which campaigns contacts are in; crm/campaigns.py, with the contacts locked. Served by
-- campaign_enrolment_active.
SELECT e.account_id, e.contact_id, e.campaign, e.enrolment_id
FROM (SELECT DISTINCT account_id, contact_id
      FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)) AS a
JOIN campaign_enrolment e ON e.account_id = a.account_id AND e.contact_id = a.contact_id AND e.left_at IS NULL
