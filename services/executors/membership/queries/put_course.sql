-- Writes a course; membership/courses.py. Served by the primary key.
INSERT INTO course (account_id, course, name_sealed, active) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, course) DO UPDATE SET name_sealed = excluded.name_sealed, active = excluded.active
