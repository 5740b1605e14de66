-- Deletes a record, and takes it off its owner's count; crm/records.py. Served by both primary keys.
WITH gone AS (
    DELETE FROM contact_record WHERE account_id = $1 AND contact_id = $2
    RETURNING account_id, owner_id
)
UPDATE crm_user u SET owned = u.owned - 1
FROM gone WHERE u.account_id = gone.account_id AND u.user_id = gone.owner_id
