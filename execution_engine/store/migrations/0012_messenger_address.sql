-- A contact's page-scoped id is an address like the others: what people write to a page finds its contact by it. The id
-- itself is the crm's (field messenger_id); here is its hash. Contacts of before are hashed by a sweep (store/hashing.py).
ALTER TABLE contact
    ADD COLUMN messenger_hash bytea,
    ADD COLUMN hashed boolean NOT NULL DEFAULT false;   -- whether all three hashes are those of its addresses
ALTER TABLE contact ALTER COLUMN hashed SET DEFAULT true;   -- of those that are here already it is not known
CREATE INDEX contact_by_messenger ON contact (account_id, messenger_hash)
    WHERE messenger_hash IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX contact_unhashed ON contact (account_id, contact_id) WHERE NOT hashed AND deleted_at IS NULL;

-- Contacts of any account that are to be hashed, once the crm service has all of them.
CREATE FUNCTION wf_contacts_unhashed(most integer) RETURNS TABLE (account_id bigint, contact_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, contact_id FROM contact WHERE NOT hashed AND deleted_at IS NULL
        AND crm_pending IS NULL ORDER BY account_id, contact_id LIMIT most';

REVOKE ALL ON FUNCTION wf_contacts_unhashed(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_contacts_unhashed(integer) TO wayfarer_api;
GRANT UPDATE (messenger_hash) ON contact TO wayfarer_worker;
