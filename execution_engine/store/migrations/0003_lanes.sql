-- Rate lanes and circuit breakers of accounts at their providers, as the owner of the account's shard last saw
-- them: for showing, and for the worker that takes the shard over. account_id 0 has the executors' own breakers.
CREATE TABLE lane (
    account_id bigint NOT NULL,
    lane text NOT NULL,
    paused_until timestamptz,          -- the provider asked for fewer requests (429)
    failures integer NOT NULL,         -- in a row
    opened integer NOT NULL,           -- times the breaker opened without a success between; 0: closed
    open_until timestamptz,
    day date,
    used_today bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT wf_now(),
    PRIMARY KEY (account_id, lane)
);
ALTER TABLE lane ENABLE ROW LEVEL SECURITY;
ALTER TABLE lane FORCE ROW LEVEL SECURITY;
CREATE POLICY one_account ON lane TO wayfarer_api
    USING (account_id IN (0, nullif(current_setting('wayfarer.account_id', true), '')::bigint));
CREATE POLICY owner ON lane TO wayfarer_owner USING (true);
GRANT SELECT ON lane TO wayfarer_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON lane TO wayfarer_worker;
