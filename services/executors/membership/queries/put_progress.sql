-- Writes how far a contact has come; membership/courses.py. Served by the primary key.
UPDATE course_access SET progress = $4 WHERE account_id = $1 AND contact_id = $2 AND course = $3
