-- Reads an account's campaigns by key, up to $3 after $2; crm/campaigns.py. Served by the primary key.
SELECT campaign, name_sealed FROM campaign
WHERE account_id = $1 AND campaign > $2 ORDER BY campaign LIMIT $3
