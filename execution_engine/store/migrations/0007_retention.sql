-- What is kept how long, and how it goes: whole months where all of a month may go, rows in bounded batches where
-- one account keeps less. All functions are the owner's, so that the worker that calls them needs no right to
-- delete or to drop.
CREATE INDEX event_key_of ON event_key (account_id, event_id);

-- FAILED executions are kept hot until retried, cancelled or aged out: these move to the history.
CREATE FUNCTION wf_age_out_failed(days integer, most integer) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT e.account_id, e.execution_id FROM account a JOIN execution e ON e.account_id = a.account_id AND e.status = 6
        WHERE e.ended_at < wf_now() - make_interval(days => days)
        ORDER BY e.account_id, e.execution_id LIMIT most FOR UPDATE OF e SKIP LOCKED
    ), gone AS (
        DELETE FROM execution e USING old o
        WHERE e.account_id = o.account_id AND e.execution_id = o.execution_id RETURNING e.*
    ), kept AS (
        INSERT INTO execution_history (account_id, execution_id, workflow_id, contact_id, version, status, priority, step,
            visit, attempt, failures, steps_run, log_seq, log_hash, input_sealed, state_sealed, reason, failure,
            created_at, updated_at, ended_at)
        SELECT account_id, execution_id, workflow_id, contact_id, version, status, priority, step, visit, attempt,
            failures, steps_run, log_seq, log_hash, input_sealed, state_sealed, reason, failure,
            created_at, updated_at, ended_at
        FROM gone RETURNING 1
    )
    SELECT count(*)::integer FROM kept
$$;

-- Ended executions and their logs of accounts that keep them for less than the platform does.
CREATE FUNCTION wf_forget_history(most integer) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH short AS MATERIALIZED (
        SELECT account_id, (settings -> 'retention' ->> 'history_days')::integer AS days FROM account
        WHERE settings -> 'retention' ->> 'history_days' IS NOT NULL
    ), old AS MATERIALIZED (
        SELECT h.account_id, h.execution_id FROM short s
        CROSS JOIN LATERAL (
            SELECT x.account_id, x.execution_id FROM execution_history x
            WHERE x.account_id = s.account_id
              AND x.execution_id < wf_uuid_floor(wf_now() - make_interval(days => s.days))
              AND x.ended_at < wf_now() - make_interval(days => s.days)
            ORDER BY x.execution_id LIMIT most
        ) h LIMIT most
    ), logs AS (
        DELETE FROM execution_log l USING old o
        WHERE l.account_id = o.account_id AND l.execution_id = o.execution_id
    ), gone AS (
        DELETE FROM execution_history h USING old o
        WHERE h.account_id = o.account_id AND h.execution_id = o.execution_id RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;

-- Rows that count for a time only: senders' ids (their window), refused starts, failures told of.
CREATE FUNCTION wf_forget_rows(event_days integer, other_days integer, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone integer;
    total integer := 0;
BEGIN
    DELETE FROM event_key WHERE ctid IN (SELECT ctid FROM event_key
        WHERE received_at < wf_now() - make_interval(days => event_days) LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;
    DELETE FROM start_refusal WHERE ctid IN (SELECT ctid FROM start_refusal
        WHERE at < wf_now() - make_interval(days => other_days) LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;
    DELETE FROM notice n WHERE next_at IS NULL AND made_at < wf_now() - make_interval(days => other_days);
    DELETE FROM failure_notice WHERE ctid IN (SELECT ctid FROM failure_notice
        WHERE failed_at < wf_now() - make_interval(days => other_days) AND closed_at IS NOT NULL LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END $$;

-- Drops the months of history, log and events that all may go: older than the days, and with no execution of the
-- month still live. DROP waits for readers of the parent at most two seconds; what it cannot have now goes later.
CREATE FUNCTION wf_drop_months(history_days integer, event_days integer) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part record;
    until timestamptz;
    days integer;
    longest integer;
BEGIN
    PERFORM set_config('lock_timeout', '2000', true);
    SELECT max((settings -> 'retention' ->> 'history_days')::integer) INTO longest FROM account;
    FOR part IN
        SELECT p.relname AS parent, c.relname AS name FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.relname IN ('execution_history', 'execution_log', 'event') AND c.relname ~ '_\d{4}_\d{2}$'
        ORDER BY c.relname
    LOOP
        until := (to_date(right(part.name, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC';
        days := CASE WHEN part.parent = 'event' THEN event_days ELSE greatest(history_days, coalesce(longest, 0)) END;
        CONTINUE WHEN until > wf_now() - make_interval(days => days);
        CONTINUE WHEN part.parent <> 'event' AND EXISTS (
            SELECT FROM account a JOIN execution e ON e.account_id = a.account_id
                AND e.execution_id >= wf_uuid_floor(until - interval '1 month') AND e.execution_id < wf_uuid_floor(until));
        BEGIN
            EXECUTE format('DROP TABLE %I', part.name);
            RETURN NEXT part.name;
        EXCEPTION WHEN lock_not_available THEN
            RAISE NOTICE '% is in use', part.name;
        END;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION wf_age_out_failed(integer, integer), wf_forget_history(integer),
    wf_forget_rows(integer, integer, integer), wf_drop_months(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_age_out_failed(integer, integer), wf_forget_history(integer),
    wf_forget_rows(integer, integer, integer), wf_drop_months(integer, integer) TO wayfarer_worker;
