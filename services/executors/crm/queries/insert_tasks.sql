-- Writes tasks and tells when they are due: the time given, else $6 seconds from now; crm/tasks.py, in the batch's
-- transaction, the contacts held. In key order.
INSERT INTO contact_task (account_id, contact_id, task_id, text_sealed, due_at, assigned_to, priority)
SELECT account_id, contact_id, task_id, text_sealed,
       coalesce(due_at, date_trunc('second', now()) + make_interval(secs => due_in)), assigned_to, priority
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::bytea[], $5::timestamptz[], $6::float8[], $7::text[],
            $8::text[])
    AS u (account_id, contact_id, task_id, text_sealed, due_at, due_in, assigned_to, priority)
ORDER BY account_id, contact_id, task_id
RETURNING task_id, due_at
