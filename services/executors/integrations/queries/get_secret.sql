-- Reads one secret; account_book.py, before it is put again. Served by the primary key.
SELECT secret_sealed FROM account_secret WHERE account_id = $1 AND name = $2
