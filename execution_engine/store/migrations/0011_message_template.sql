-- Message templates of accounts: every change is a new version, and a workflow's version holds what it was published with.
CREATE TABLE message_template (
    account_id bigint NOT NULL REFERENCES account,
    key text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    action_type text NOT NULL,                 -- the action whose config it is part of
    content_sealed bytea NOT NULL,             -- JSON object: the part of that config
    content_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT wf_now(),
    PRIMARY KEY (account_id, key, version)
);
ALTER TABLE message_template ENABLE ROW LEVEL SECURITY;
ALTER TABLE message_template FORCE ROW LEVEL SECURITY;
CREATE POLICY one_account ON message_template TO wayfarer_api
    USING (account_id = nullif(current_setting('wayfarer.account_id', true), '')::bigint);
CREATE POLICY owner ON message_template TO wayfarer_owner USING (true);
GRANT SELECT, INSERT ON message_template TO wayfarer_api;
