-- Lists an account's secrets without their values; account_book.py. Served by the primary key.
SELECT name, created_at, rotated_at FROM account_secret WHERE account_id = $1 ORDER BY name
