-- Folds the oldest deltas into the sums; services/worker, every few seconds. In order of the key, so that two cannot
-- wait for each other.
WITH old AS MATERIALIZED (
    SELECT ctid AS place FROM step_delta ORDER BY account_id, delta_id LIMIT 5000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM step_delta d USING old o WHERE d.ctid = o.place
    RETURNING d.account_id, d.workflow_id, d.version, d.deltas
), sums AS (
    SELECT account_id, workflow_id, version, s.key AS step_id, sum((s.value ->> 0)::integer) AS entered,
        sum((s.value ->> 1)::integer) AS done, sum((s.value ->> 2)::integer) AS failed,
        sum((s.value ->> 3)::integer) AS waiting
    FROM gone CROSS JOIN LATERAL jsonb_each(deltas) AS s GROUP BY 1, 2, 3, 4
)
INSERT INTO step_count AS c (account_id, workflow_id, version, step_id, entered, done, failed, waiting)
SELECT * FROM sums ORDER BY account_id, workflow_id, version, step_id
ON CONFLICT (account_id, workflow_id, version, step_id) DO UPDATE SET entered = c.entered + excluded.entered,
    done = c.done + excluded.done, failed = c.failed + excluded.failed, waiting = c.waiting + excluded.waiting
