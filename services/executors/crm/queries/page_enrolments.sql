-- Reads a contact's enrolments, newest first, up to $4 after $3; crm/campaigns.py. Served by the primary key.
SELECT enrolment_id, campaign, joined_at, left_at FROM campaign_enrolment
WHERE account_id = $1 AND contact_id = $2 AND ($3::uuid IS NULL OR enrolment_id < $3)
ORDER BY enrolment_id DESC LIMIT $4
