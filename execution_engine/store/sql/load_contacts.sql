-- The engine's part of contacts, for templates and executors; dispatcher/contacts.py. Primary key.
SELECT c.account_id, c.contact_id, c.external_id, c.email_sealed, c.phone_sealed, c.opted_out, c.sending_rev
FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)
JOIN contact c USING (account_id, contact_id)
WHERE c.deleted_at IS NULL
