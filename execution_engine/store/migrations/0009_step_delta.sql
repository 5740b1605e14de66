-- One row per version and commit instead of one per step: a commit of a hundred actions wrote two hundred.
INSERT INTO step_count AS c (account_id, workflow_id, version, step_id, entered, done, failed, waiting)
SELECT account_id, workflow_id, version, step_id, sum(entered), sum(done), sum(failed), sum(waiting)
FROM step_delta GROUP BY 1, 2, 3, 4
ON CONFLICT (account_id, workflow_id, version, step_id) DO UPDATE SET entered = c.entered + excluded.entered,
    done = c.done + excluded.done, failed = c.failed + excluded.failed, waiting = c.waiting + excluded.waiting;
DELETE FROM step_delta;
ALTER TABLE step_delta
    DROP COLUMN step_id, DROP COLUMN entered, DROP COLUMN done, DROP COLUMN failed, DROP COLUMN waiting,
    ADD COLUMN deltas jsonb NOT NULL;          -- {step id: [entered, done, failed, waiting]}
