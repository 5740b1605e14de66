-- Reads a contact's tasks, newest first, up to $4 after $3; crm/tasks.py. Served by the primary key.
SELECT task_id, text_sealed, due_at, assigned_to, priority, created_at FROM contact_task
WHERE account_id = $1 AND contact_id = $2 AND ($3::uuid IS NULL OR task_id < $3)
ORDER BY task_id DESC LIMIT $4
