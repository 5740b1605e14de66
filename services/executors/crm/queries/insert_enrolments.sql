-- Writes enrolments, those that ended in the same batch as ended; crm/campaigns.py, with the contacts locked and after
-- end_enrolments. In key order.
INSERT INTO campaign_enrolment (account_id, contact_id, enrolment_id, campaign, left_at)
SELECT account_id, contact_id, enrolment_id, campaign, CASE WHEN ended THEN now() END
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::boolean[])
    AS u (account_id, contact_id, enrolment_id, campaign, ended)
ORDER BY account_id, contact_id, enrolment_id
