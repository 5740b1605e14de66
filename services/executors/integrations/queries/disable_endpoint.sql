-- Notes that an endpoint is gone; beyond $4 of an account the ones noted longest ago are forgotten, so that URLs
-- made from merge fields cannot fill the table; account_book.py. Served by the primary key.
WITH surplus AS (
    DELETE FROM disabled_endpoint d
    USING (
        SELECT url_hash FROM disabled_endpoint
        WHERE account_id = $1 AND url_hash <> $2
        ORDER BY since DESC, url_hash OFFSET $4 - 1
    ) old
    WHERE d.account_id = $1 AND d.url_hash = old.url_hash
)
INSERT INTO disabled_endpoint (account_id, url_hash, url_sealed)
VALUES ($1, $2, $3)
ON CONFLICT (account_id, url_hash) DO NOTHING
