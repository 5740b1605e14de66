-- Ends enrolments; crm/campaigns.py, with the contacts locked. Served by the primary key.
UPDATE campaign_enrolment e SET left_at = now()
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS u (account_id, contact_id, enrolment_id)
WHERE e.account_id = u.account_id AND e.contact_id = u.contact_id AND e.enrolment_id = u.enrolment_id
