-- Starts of many accounts in one transaction. Row-level security binds a transaction to one account, so these two run as the
-- owner of the tables; each row carries its account, and nothing is read, locked or written but under the account its start
-- names (docs/decisions.md, 46). store/joint.py calls them.

-- What starts meet: their workflow (by id, else by key), their contact's gate, the enrolment before. A gate that
-- another transaction holds is passed by (`held` false), so that no account waits for another's. Starts whose workflow or
-- contact there is not have no row. Served by primary keys, workflow's key and execution_by_contact.
CREATE FUNCTION wf_meet_starts(account_ids bigint[], workflow_ids uuid[], workflow_keys text[], contact_ids uuid[],
                               entry_keys text[], request_ids uuid[])
    RETURNS TABLE (place integer, now timestamptz, workflow_id uuid, workflow_key text, status smallint,
                   published_version integer, reentry smallint, held boolean, opted_out boolean, deleted boolean,
                   asked_before boolean, execution_id uuid, within_window boolean, running uuid)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    gates boolean[] := array_fill(false, ARRAY[cardinality(account_ids)]);
    moment timestamptz := wf_now();
    at_place integer;
BEGIN
    -- A statement of its own: what comes after it sees what earlier holders of the gates have committed.
    FOR at_place IN
        SELECT u.place FROM unnest(account_ids, contact_ids) WITH ORDINALITY AS u (account_id, contact_id, place)
        JOIN contact c ON c.account_id = u.account_id AND c.contact_id = u.contact_id
        FOR NO KEY UPDATE OF c SKIP LOCKED
    LOOP
        gates[at_place] := true;
    END LOOP;
    RETURN QUERY
    SELECT u.place::integer, moment, w.workflow_id, w.key, w.status, w.published_version, w.reentry,
        gates[u.place::integer], c.opted_out, c.deleted_at IS NOT NULL,
        EXISTS (SELECT FROM request r WHERE r.account_id = u.account_id AND r.request_id = u.request_id),
        e.execution_id, e.started_at + make_interval(secs => w.dedup_window_ms / 1000.0) > moment,
        CASE WHEN e.execution_id IS NOT NULL THEN (
            SELECT x.execution_id FROM execution x WHERE x.account_id = u.account_id AND x.contact_id = u.contact_id
                AND x.workflow_id = w.workflow_id AND x.status IN (1, 2, 3, 4) LIMIT 1) END
    FROM unnest(account_ids, workflow_ids, workflow_keys, contact_ids, entry_keys, request_ids) WITH ORDINALITY
        AS u (account_id, workflow_id, workflow_key, contact_id, entry_key, request_id, place)
    CROSS JOIN LATERAL (
        SELECT i.workflow_id, i.key, i.status, i.published_version, i.reentry, i.dedup_window_ms FROM workflow i
        WHERE i.account_id = u.account_id AND i.workflow_id = u.workflow_id
        UNION ALL
        SELECT k.workflow_id, k.key, k.status, k.published_version, k.reentry, k.dedup_window_ms FROM workflow k
        WHERE k.account_id = u.account_id AND k.key = u.workflow_key
        LIMIT 1
    ) w
    JOIN contact c ON c.account_id = u.account_id AND c.contact_id = u.contact_id
    LEFT JOIN enrollment e ON e.account_id = u.account_id AND e.workflow_id = w.workflow_id
        AND e.contact_id = u.contact_id AND e.entry_key = u.entry_key;
END $$;

-- Enters executions as sql/enroll.sql does, with the answers to their requests. Whether all of them were: if a request or an
-- enrolment was taken meanwhile, the caller rolls back. Nobody here waits long for another account's request.
CREATE FUNCTION wf_enter_starts(account_ids bigint[], execution_ids uuid[], workflow_ids uuid[], contact_ids uuid[],
                                versions integer[], priorities smallint[], hashes bytea[], inputs bytea[],
                                entry_keys text[], at timestamptz, log_event smallint,
                                request_accounts bigint[], request_ids uuid[], methods text[], payloads bytea[],
                                answers bytea[])
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET lock_timeout = '100ms' AS $$
DECLARE
    answered bigint;
    entered bigint;
BEGIN
    INSERT INTO request (account_id, request_id, method, payload_hash, answer_sealed)
        SELECT * FROM unnest(request_accounts, request_ids, methods, payloads, answers) AS u ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS answered = ROW_COUNT;
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(account_ids, execution_ids, workflow_ids, contact_ids, versions, priorities, hashes, inputs,
                             entry_keys)
            AS u (account_id, execution_id, workflow_id, contact_id, version, priority, log_hash, input_sealed, entry_key)
    ), taken AS (
        INSERT INTO enrollment AS e (account_id, workflow_id, contact_id, entry_key, execution_id, started_at)
        SELECT account_id, workflow_id, contact_id, entry_key, execution_id, at
        FROM asked ORDER BY account_id, contact_id, workflow_id, entry_key
        ON CONFLICT (account_id, workflow_id, contact_id, entry_key) DO UPDATE
            SET execution_id = excluded.execution_id, started_at = excluded.started_at
            WHERE e.started_at + make_interval(secs => (
                SELECT w.dedup_window_ms FROM workflow w
                WHERE w.account_id = e.account_id AND w.workflow_id = e.workflow_id) / 1000.0) <= excluded.started_at
        RETURNING e.execution_id
    ), made AS (
        INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority, lane,
            blocked_on, wake_at, step, log_seq, log_hash, input_sealed, created_at, updated_at)
        SELECT u.account_id, u.execution_id, u.workflow_id, u.contact_id, u.version, a.shard, 1, u.priority, u.priority,
            1, at, 0, 1, u.log_hash, u.input_sealed, at, at
        FROM asked u JOIN account a ON a.account_id = u.account_id
    ), logged AS (
        INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt,
            at, outcome, detail, hash)
        SELECT account_id, execution_id, 1, 1, log_event, '', '', 0, 0, at, 0, '', log_hash FROM asked
    )
    SELECT count(*) INTO entered FROM taken;
    RETURN answered = cardinality(request_ids) AND entered = cardinality(execution_ids);
END $$;

REVOKE ALL ON FUNCTION
    wf_meet_starts(bigint[], uuid[], text[], uuid[], text[], uuid[]),
    wf_enter_starts(bigint[], uuid[], uuid[], uuid[], integer[], smallint[], bytea[], bytea[], text[], timestamptz, smallint,
                    bigint[], uuid[], text[], bytea[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    wf_meet_starts(bigint[], uuid[], text[], uuid[], text[], uuid[]),
    wf_enter_starts(bigint[], uuid[], uuid[], uuid[], integer[], smallint[], bytea[], bytea[], text[], timestamptz, smallint,
                    bigint[], uuid[], text[], bytea[], bytea[]) TO wayfarer_api;
