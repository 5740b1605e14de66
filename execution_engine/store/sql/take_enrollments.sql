-- Takes the dedup rows of starts where the window has passed; store/enrollment.py. A row not returned is
-- within its window. The constraint, not a check, makes 64 simultaneous callers one. Primary key.
INSERT INTO enrollment AS e (account_id, workflow_id, contact_id, entry_key, execution_id, started_at)
SELECT $1, u.workflow_id, u.contact_id, u.entry_key, u.execution_id, wf_now()
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[])
    AS u (workflow_id, contact_id, entry_key, execution_id)
ORDER BY u.contact_id, u.workflow_id, u.entry_key
ON CONFLICT (account_id, workflow_id, contact_id, entry_key) DO UPDATE
    SET execution_id = excluded.execution_id, started_at = excluded.started_at
    WHERE e.started_at + make_interval(secs => (
        SELECT w.dedup_window_ms FROM workflow w
        WHERE w.account_id = e.account_id AND w.workflow_id = e.workflow_id) / 1000.0) <= excluded.started_at
RETURNING e.execution_id
