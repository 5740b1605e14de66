-- Marks a notification as its effect's, unless a like one of another effect is younger than $6 seconds;
-- internal/repeats.py. A row if it is marked. Served by the primary key.
INSERT INTO notification_mark (account_id, likeness, execution_id, step_id, visit, marked_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp())
ON CONFLICT (account_id, likeness) DO UPDATE SET
    execution_id = EXCLUDED.execution_id,
    step_id = EXCLUDED.step_id,
    visit = EXCLUDED.visit,
    marked_at = EXCLUDED.marked_at
WHERE notification_mark.marked_at <= EXCLUDED.marked_at - $6::integer * interval '1 second'
    OR (notification_mark.execution_id, notification_mark.step_id, notification_mark.visit)
        = (EXCLUDED.execution_id, EXCLUDED.step_id, EXCLUDED.visit)
RETURNING likeness
