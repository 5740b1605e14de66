-- Reads all that a webhook of an account has to know, in one go; standings.py, at most every two seconds per account.
-- Served by both primary keys.
SELECT name, secret_sealed, previous_sealed, rotated_at, NULL::bytea AS url_hash
FROM account_secret WHERE account_id = $1
UNION ALL
SELECT NULL, NULL, NULL, NULL, url_hash
FROM disabled_endpoint WHERE account_id = $1
