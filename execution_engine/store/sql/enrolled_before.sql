-- The dedup rows that starts met, and whether an execution of theirs still runs; store/enrollment.py.
-- Served by enrollment's key and execution_by_contact.
SELECT u.place, e.execution_id,
    e.started_at + make_interval(secs => w.dedup_window_ms / 1000.0) > wf_now() AS within_window,
    (SELECT x.execution_id FROM execution x
     WHERE x.account_id = $1 AND x.contact_id = u.contact_id AND x.workflow_id = u.workflow_id AND x.status IN (1, 2, 3, 4)
     LIMIT 1) AS running
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::integer[]) AS u (workflow_id, contact_id, entry_key, place)
JOIN workflow w ON w.account_id = $1 AND w.workflow_id = u.workflow_id
JOIN enrollment e ON e.account_id = $1 AND e.workflow_id = u.workflow_id AND e.contact_id = u.contact_id
    AND e.entry_key = u.entry_key
