-- Lists an account's endpoints that are gone; account_book.py. Served by the primary key.
SELECT url_sealed, since FROM disabled_endpoint WHERE account_id = $1 ORDER BY since DESC, url_hash
