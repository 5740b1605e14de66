-- Reads an account's courses by key, up to $3 after $2; membership/courses.py. Served by the primary key.
SELECT course, name_sealed, active FROM course
WHERE account_id = $1 AND course > $2 ORDER BY course LIMIT $3
