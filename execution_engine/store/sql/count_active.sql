-- ACTIVE executions of accounts: the truth behind the slots a worker counts in memory; dispatcher/slots.py.
-- Served by execution_by_status.
SELECT a.account_id, a.active_limit,
    (SELECT count(*) FROM execution e WHERE e.account_id = a.account_id AND e.status = 2) AS active
FROM account a WHERE a.account_id = ANY ($1::bigint[])
