-- Marks one choice as refused by its provider, if it is still that one ($3: its revision); the first refusal counts.
-- providers/accounts.py. Served by the primary key.
UPDATE provider_account SET refused_at = now(), refusal_code = $4, refusal = $5
WHERE account_id = $1 AND channel = $2 AND revision = $3 AND refused_at IS NULL
