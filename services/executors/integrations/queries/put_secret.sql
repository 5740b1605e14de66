-- Writes a secret and keeps the value it replaces; returns nothing if the account has $4 others already;
-- account_book.py. Served by the primary key.
INSERT INTO account_secret AS s (account_id, name, secret_sealed)
SELECT $1, $2, $3
WHERE (SELECT count(*) FROM account_secret WHERE account_id = $1 AND name <> $2) < $4
ON CONFLICT (account_id, name) DO UPDATE SET
    previous_sealed = s.secret_sealed, secret_sealed = excluded.secret_sealed, rotated_at = now()
RETURNING s.name
