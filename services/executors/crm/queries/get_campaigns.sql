-- Reads which of the campaigns exist; crm/campaigns.py, in the batch's transaction. Served by the primary key.
SELECT c.account_id, c.campaign
FROM (SELECT DISTINCT account_id, campaign FROM unnest($1::bigint[], $2::text[]) AS u (account_id, campaign)) AS a
JOIN campaign c ON c.account_id = a.account_id AND c.campaign = a.campaign COLLATE "C"
