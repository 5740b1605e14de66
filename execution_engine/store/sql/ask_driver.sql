-- Asks something of a driven execution: the driver's next write stands out of its batch, reads this and decides anew;
-- store/locked.py, with the row locked. Primary key.
UPDATE execution SET asks = asks + 1, ask = $3, ask_detail = $4, not_before = $5, adhoc_no = $6, signals_sealed = $7
WHERE account_id = $1 AND execution_id = $2
