-- Lets an endpoint be called again; account_book.py. Served by the primary key.
DELETE FROM disabled_endpoint WHERE account_id = $1 AND url_hash = $2
