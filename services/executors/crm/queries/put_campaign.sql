-- Writes a campaign; crm/campaigns.py. Served by the primary key.
INSERT INTO campaign (account_id, campaign, name_sealed) VALUES ($1, $2, $3)
ON CONFLICT (account_id, campaign) DO UPDATE SET name_sealed = excluded.name_sealed
