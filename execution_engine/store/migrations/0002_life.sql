-- What the whole life of an execution needs beyond its main job: requests to a driver, waits for events,
-- ad-hoc waits, events with their receipts, triggers, refused starts, counters per step.

-- asks: how many requests were put beside the fence; the driver's conditional UPDATE compares it, so that a
-- row somebody asked something of stands out of its batch and is decided anew.
ALTER TABLE execution
    ADD COLUMN asks integer NOT NULL DEFAULT 0,
    ADD COLUMN ask smallint NOT NULL DEFAULT 0,        -- 1 pause, 2 let go before the next step
    ADD COLUMN ask_detail text NOT NULL DEFAULT '',    -- JSON: who asked, and why
    ADD COLUMN held_on smallint NOT NULL DEFAULT 0,    -- of a PAUSED one: what it waited for (blocked_on)
    ADD COLUMN resume_at timestamptz,                  -- of a PAUSED one: when that falls due
    ADD COLUMN not_before timestamptz,                 -- an ad-hoc wait: no step begins before
    ADD COLUMN adhoc_no smallint NOT NULL DEFAULT 0,   -- ad-hoc waits so far
    ADD COLUMN wait_seq integer NOT NULL DEFAULT 0,    -- log position of the pending wait's start; 0 for none
    ADD COLUMN wait_sealed bytea,                      -- what that wait listens for and depends on
    ADD COLUMN signals_sealed bytea,                   -- what arrived for it and is not decided yet
    ADD COLUMN blocked_by text NOT NULL DEFAULT '';    -- the rate lane or breaker that holds it

-- Events that happened to contacts, with what became of each. Partitioned like the log, by its UUIDv7.
CREATE TABLE event (
    account_id bigint NOT NULL,
    event_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    type text NOT NULL,
    source_id text NOT NULL,              -- the sender's own id, unique in the account for the window
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data_sealed bytea,
    cause_execution uuid,                 -- the execution that caused it, if one did
    receipt text NOT NULL,                -- JSON
    PRIMARY KEY (account_id, event_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX event_by_contact ON event (account_id, contact_id, event_id);

-- Senders' ids, so that an event counts once; kept for the window of 30 days.
CREATE TABLE event_key (
    account_id bigint NOT NULL,
    source_id text NOT NULL,
    event_id uuid NOT NULL,
    payload_hash bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, source_id)
);
CREATE INDEX event_key_by_age ON event_key (received_at);

-- Events written in the transaction of what caused them (an action's outcome, a change of a contact), on their
-- way to be ingested.
CREATE TABLE event_inbox (
    account_id bigint NOT NULL,
    inbox_id bigint GENERATED ALWAYS AS IDENTITY,
    contact_id uuid NOT NULL,
    type text NOT NULL,
    source_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    data_sealed bytea,
    cause_sealed bytea,                   -- the execution that caused it, and the workflows before it
    failed_at timestamptz,                -- set aside: it could not be taken in, and the others must not wait
    PRIMARY KEY (account_id, inbox_id)
);

-- Which event types some published version of an account listens for: as trigger, goal, exit or wait.
CREATE TABLE listening (
    account_id bigint NOT NULL,
    type text NOT NULL,
    workflow_id uuid NOT NULL,
    PRIMARY KEY (account_id, type, workflow_id)
);

-- What starts a workflow by itself: those of its latest version.
CREATE TABLE workflow_trigger (
    account_id bigint NOT NULL,
    workflow_id uuid NOT NULL,
    place smallint NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),   -- EVENT CRON DATE ONCE
    type text,
    definition_sealed bytea NOT NULL,
    next_at timestamptz,
    PRIMARY KEY (account_id, workflow_id, place)
);
CREATE INDEX workflow_trigger_by_type ON workflow_trigger (account_id, type) WHERE type IS NOT NULL;
CREATE INDEX workflow_trigger_due ON workflow_trigger (next_at) WHERE next_at IS NOT NULL;

-- Starts that made no execution, and why.
CREATE TABLE start_refusal (
    account_id bigint NOT NULL,
    refusal_id uuid NOT NULL,
    kind text NOT NULL,
    workflow_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    execution_id uuid,                    -- the one that was there already
    event_id uuid,
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id, refusal_id)
);
CREATE INDEX start_refusal_by_contact ON start_refusal (account_id, contact_id, refusal_id);
CREATE INDEX start_refusal_by_age ON start_refusal (at);

-- Counters per workflow version and step: deltas written with the moves they count, folded into sums later.
-- step_id '' counts the executions of the version as a whole.
CREATE TABLE step_delta (
    account_id bigint NOT NULL,
    delta_id bigint GENERATED ALWAYS AS IDENTITY,
    workflow_id uuid NOT NULL,
    version integer NOT NULL,
    step_id text NOT NULL,
    entered integer NOT NULL,
    done integer NOT NULL,
    failed integer NOT NULL,
    waiting integer NOT NULL,
    PRIMARY KEY (account_id, delta_id)
);
CREATE TABLE step_count (
    account_id bigint NOT NULL,
    workflow_id uuid NOT NULL,
    version integer NOT NULL,
    step_id text NOT NULL,
    entered bigint NOT NULL,
    done bigint NOT NULL,
    failed bigint NOT NULL,
    waiting bigint NOT NULL,
    PRIMARY KEY (account_id, workflow_id, version, step_id)
);

CREATE OR REPLACE FUNCTION wf_make_partitions(at timestamptz, ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    lower_bound timestamptz;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('wf_make_partitions'));
    FOR lower_bound IN
        SELECT generate_series(date_trunc('month', at AT TIME ZONE 'UTC') - interval '1 month',
                               date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => ahead),
                               interval '1 month') AT TIME ZONE 'UTC'
    LOOP
        FOREACH parent IN ARRAY ARRAY['execution_history', 'execution_log', 'event'] LOOP
            IF to_regclass(format('%I', parent || to_char(lower_bound AT TIME ZONE 'UTC', '_YYYY_MM'))) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    parent || to_char(lower_bound AT TIME ZONE 'UTC', '_YYYY_MM'), parent,
                    wf_uuid_floor(lower_bound),
                    wf_uuid_floor((lower_bound AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
SELECT wf_make_partitions(wf_now(), 3);

-- As before, but by the engine's clock, which is what updated_at was written by.
CREATE OR REPLACE FUNCTION wf_contacts_owing_crm(most integer) RETURNS TABLE (account_id bigint, contact_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, contact_id FROM contact WHERE crm_pending IS NOT NULL
        AND updated_at < wf_now() - interval ''2 seconds'' ORDER BY account_id, contact_id LIMIT most';

-- Accounts with events on their way, over all accounts: for the API's intake.
CREATE FUNCTION wf_inbox_accounts(most integer) RETURNS TABLE (account_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT DISTINCT account_id FROM event_inbox WHERE failed_at IS NULL LIMIT most';

-- Triggers whose time has come, over all accounts: for the API's scheduler.
CREATE FUNCTION wf_triggers_due(most integer) RETURNS TABLE (account_id bigint, workflow_id uuid, place smallint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, workflow_id, place FROM workflow_trigger WHERE next_at <= wf_now()
        ORDER BY next_at LIMIT most';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['event', 'event_key', 'event_inbox', 'listening', 'workflow_trigger', 'start_refusal',
                                'step_delta', 'step_count'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_account ON %I TO wayfarer_api
                        USING (account_id = nullif(current_setting(''wayfarer.account_id'', true), '''')::bigint)', name);
        EXECUTE format('CREATE POLICY owner ON %I TO wayfarer_owner USING (true)', name);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION wf_inbox_accounts(integer), wf_triggers_due(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_inbox_accounts(integer), wf_triggers_due(integer) TO wayfarer_api;
GRANT SELECT, INSERT, UPDATE ON event, event_key TO wayfarer_api;
GRANT SELECT, INSERT, DELETE ON event_inbox TO wayfarer_api;
GRANT UPDATE (failed_at) ON event_inbox TO wayfarer_api;
GRANT SELECT, INSERT ON listening, start_refusal TO wayfarer_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON workflow_trigger TO wayfarer_api;
GRANT SELECT, INSERT ON step_delta TO wayfarer_api;
GRANT SELECT ON step_count TO wayfarer_api;
GRANT SELECT (account_id, event_id, contact_id, type, occurred_at, received_at, data_sealed) ON event TO wayfarer_worker;
GRANT INSERT ON event_inbox TO wayfarer_worker;
GRANT SELECT ON listening TO wayfarer_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON step_delta TO wayfarer_worker;
GRANT SELECT, INSERT, UPDATE ON step_count TO wayfarer_worker;
