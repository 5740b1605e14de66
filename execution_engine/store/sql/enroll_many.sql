-- Decides for many contacts of one workflow and enters those that may: dedup rows, executions, first log entries;
-- store/enroll_many.py, under the contacts' gates. The rules and their order are enrollment.py's; $4, $5, $6 are the
-- places of contacts that there are not, that have opted out, that were given before. All executions of one statement
-- have one moment, so one hash begins all their chains. The ids come lowest first and are given out in order of the
-- contacts, which is that of every index's pages. A dedup row that is there against what was read fails the whole: the
-- gates' locks rule it out. Served by enrollment's key and execution_by_contact.
WITH met AS (
    SELECT u.place, u.contact_id, e.execution_id AS earlier,
        CASE
            WHEN w.status <> 2 THEN 'workflow_not_active'
            WHEN u.place = ANY ($4::integer[]) THEN 'contact_not_found'
            WHEN u.place = ANY ($5::integer[]) THEN 'opted_out'
            WHEN u.place = ANY ($6::integer[]) THEN 'duplicate'
            WHEN e.execution_id IS NULL THEN 'started'
            WHEN e.started_at + make_interval(secs => w.dedup_window_ms / 1000.0) > $8 THEN 'duplicate'
            WHEN w.reentry = 1 THEN 'already_in'
            WHEN w.reentry = 3 THEN 'started'
        END AS outcome
    FROM (SELECT * FROM unnest($3::uuid[]) WITH ORDINALITY AS g (contact_id, place) ORDER BY contact_id, place) AS u
    JOIN workflow w ON w.account_id = $1 AND w.workflow_id = $2
    LEFT JOIN LATERAL (
        SELECT execution_id, started_at FROM enrollment
        WHERE account_id = $1 AND workflow_id = $2 AND contact_id = u.contact_id AND entry_key = ''
        LIMIT 1) AS e ON true
), decided AS (
    SELECT place, contact_id, coalesce(outcome, CASE WHEN running IS NULL THEN 'started' ELSE 'already_in' END) AS outcome,
        earlier, running
    FROM met LEFT JOIN LATERAL (
        SELECT x.execution_id AS running FROM execution x
        WHERE met.outcome IS NULL AND x.account_id = $1 AND x.contact_id = met.contact_id AND x.workflow_id = $2
            AND x.status IN (1, 2, 3, 4)
        LIMIT 1) AS r ON true
), asked AS MATERIALIZED (
    SELECT place, contact_id, outcome, earlier, CASE outcome
        WHEN 'started' THEN ($7::uuid[])[count(*) FILTER (WHERE outcome = 'started')
            OVER (ORDER BY contact_id, place ROWS UNBOUNDED PRECEDING)]
        WHEN 'duplicate' THEN earlier
        WHEN 'already_in' THEN coalesce(running, earlier) END AS execution_id
    FROM decided
), first_time AS (
    INSERT INTO enrollment (account_id, workflow_id, contact_id, entry_key, execution_id, started_at)
    SELECT $1, $2, contact_id, '', execution_id, $8 FROM asked WHERE outcome = 'started' AND earlier IS NULL
), again AS (
    UPDATE enrollment e SET execution_id = u.execution_id, started_at = $8
    FROM asked u
    WHERE u.outcome = 'started' AND u.earlier IS NOT NULL
        AND e.account_id = $1 AND e.workflow_id = $2 AND e.contact_id = u.contact_id AND e.entry_key = ''
), entered AS (
    INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority, lane,
        blocked_on, wake_at, step, log_seq, log_hash, input_sealed, created_at, updated_at)
    SELECT $1, u.execution_id, $2, u.contact_id, w.published_version, a.shard, 1, $9::smallint, $9::smallint,
        1, $8, 0, 1, $10, $11, $8, $8
    FROM asked u JOIN account a ON a.account_id = $1 JOIN workflow w ON w.account_id = $1 AND w.workflow_id = $2
    WHERE u.outcome = 'started'
), logged AS (
    INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt,
        at, outcome, detail, hash)
    SELECT $1, execution_id, 1, 1, $12, '', '', 0, 0, $8, 0, '', $10 FROM asked WHERE outcome = 'started'
)
SELECT array_agg(outcome ORDER BY place) AS outcomes, array_agg(execution_id ORDER BY place) AS execution_ids FROM asked
