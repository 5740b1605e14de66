-- Folds the oldest deltas into the sums, and into the minute's activity; services/worker, every few seconds. In order
-- of the key, so that two cannot wait for each other (activity always comes after the sums: no other part reads it).
WITH old AS MATERIALIZED (
    SELECT ctid AS place FROM step_delta ORDER BY account_id, delta_id LIMIT 5000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM step_delta d USING old o WHERE d.ctid = o.place
    RETURNING d.account_id, d.workflow_id, d.version, d.deltas
), sums AS MATERIALIZED (
    SELECT account_id, workflow_id, version, s.key AS step_id, sum((s.value ->> 0)::integer) AS entered,
        sum((s.value ->> 1)::integer) AS done, sum((s.value ->> 2)::integer) AS failed,
        sum((s.value ->> 3)::integer) AS waiting
    FROM gone CROSS JOIN LATERAL jsonb_each(deltas) AS s GROUP BY 1, 2, 3, 4
), minute AS (
    INSERT INTO activity AS a (account_id, at, workflow_id, started, completed, failed, steps)
    SELECT account_id, date_trunc('minute', wf_now()), workflow_id,
        coalesce(sum(entered) FILTER (WHERE step_id = ''), 0), coalesce(sum(done) FILTER (WHERE step_id = ''), 0),
        greatest(coalesce(sum(failed) FILTER (WHERE step_id = ''), 0), 0),
        coalesce(sum(done) FILTER (WHERE step_id <> ''), 0)
    FROM sums GROUP BY account_id, workflow_id ORDER BY account_id, workflow_id
    ON CONFLICT (account_id, at, workflow_id) DO UPDATE SET started = a.started + excluded.started,
        completed = a.completed + excluded.completed, failed = a.failed + excluded.failed,
        steps = a.steps + excluded.steps
)
INSERT INTO step_count AS c (account_id, workflow_id, version, step_id, entered, done, failed, waiting)
SELECT * FROM sums ORDER BY account_id, workflow_id, version, step_id
ON CONFLICT (account_id, workflow_id, version, step_id) DO UPDATE SET entered = c.entered + excluded.entered,
    done = c.done + excluded.done, failed = c.failed + excluded.failed, waiting = c.waiting + excluded.waiting
