-- Removes a secret; account_book.py. Served by the primary key.
DELETE FROM account_secret WHERE account_id = $1 AND name = $2
