-- Decides for many contacts of one workflow and enters those that may: dedup rows, executions, first log entries;
-- store/enroll_many.py, under the contacts' gates. The rules and their order are enrollment.py's. All executions
-- of one statement have one moment, so one hash begins all their chains. The ids come lowest first and are given out in
-- order of the contacts, which is that of every index's pages. Served by the primary keys and execution_by_contact.
WITH met AS (
    SELECT u.place, u.contact_id, e.execution_id AS earlier,
        CASE
            WHEN w.status <> 2 THEN 'workflow_not_active'
            WHEN c.contact_id IS NULL OR c.deleted_at IS NOT NULL THEN 'contact_not_found'
            WHEN c.opted_out THEN 'opted_out'
            WHEN u.place = ANY ($4::integer[]) THEN 'duplicate'
            WHEN e.execution_id IS NULL THEN 'started'
            WHEN e.started_at + make_interval(secs => w.dedup_window_ms / 1000.0) > $6 THEN 'duplicate'
            WHEN w.reentry = 1 THEN 'already_in'
            WHEN w.reentry = 3 THEN 'started'
        END AS outcome
    FROM unnest($3::uuid[]) WITH ORDINALITY AS u (contact_id, place)
    JOIN workflow w ON w.account_id = $1 AND w.workflow_id = $2
    LEFT JOIN contact c ON c.account_id = $1 AND c.contact_id = u.contact_id
    LEFT JOIN enrollment e ON e.account_id = $1 AND e.workflow_id = $2 AND e.contact_id = u.contact_id AND e.entry_key = ''
), decided AS (
    SELECT place, contact_id, coalesce(outcome, CASE WHEN running IS NULL THEN 'started' ELSE 'already_in' END) AS outcome,
        coalesce(running, earlier) AS earlier
    FROM met LEFT JOIN LATERAL (
        SELECT x.execution_id AS running FROM execution x
        WHERE met.outcome IS NULL AND x.account_id = $1 AND x.contact_id = met.contact_id AND x.workflow_id = $2
            AND x.status IN (1, 2, 3, 4)
        LIMIT 1) AS r ON true
), asked AS MATERIALIZED (
    SELECT place, contact_id, outcome, CASE outcome
        WHEN 'started' THEN ($5::uuid[])[count(*) FILTER (WHERE outcome = 'started')
            OVER (ORDER BY contact_id, place ROWS UNBOUNDED PRECEDING)]
        WHEN 'duplicate' THEN earlier
        WHEN 'already_in' THEN earlier END AS execution_id
    FROM decided
), taken AS (
    INSERT INTO enrollment AS e (account_id, workflow_id, contact_id, entry_key, execution_id, started_at)
    SELECT $1, $2, contact_id, '', execution_id, $6 FROM asked WHERE outcome = 'started'
    ON CONFLICT (account_id, workflow_id, contact_id, entry_key) DO UPDATE
        SET execution_id = excluded.execution_id, started_at = excluded.started_at
        WHERE e.started_at + make_interval(secs => (
            SELECT w.dedup_window_ms FROM workflow w
            WHERE w.account_id = e.account_id AND w.workflow_id = e.workflow_id) / 1000.0) <= excluded.started_at
    RETURNING 1
), entered AS (
    INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority, lane,
        blocked_on, wake_at, step, log_seq, log_hash, input_sealed, created_at, updated_at)
    SELECT $1, u.execution_id, $2, u.contact_id, w.published_version, a.shard, 1, $7::smallint, $7::smallint,
        1, $6, 0, 1, $8, $9, $6, $6
    FROM asked u JOIN account a ON a.account_id = $1 JOIN workflow w ON w.account_id = $1 AND w.workflow_id = $2
    WHERE u.outcome = 'started'
), logged AS (
    INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt,
        at, outcome, detail, hash)
    SELECT $1, execution_id, 1, 1, $10, '', '', 0, 0, $6, 0, '', $8 FROM asked WHERE outcome = 'started'
)
SELECT (SELECT count(*) FROM taken) AS taken, array_agg(outcome ORDER BY place) AS outcomes,
    array_agg(execution_id ORDER BY place) AS execution_ids
FROM asked
