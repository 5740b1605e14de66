-- What an executor family knows of every effect it was asked for; one per family, shared by its replicas.
CREATE TABLE effect_ledger (
    account_id   bigint      NOT NULL,
    execution_id uuid        NOT NULL,
    step_id      text        COLLATE "C" NOT NULL,
    visit        integer     NOT NULL,
    -- The latest attempt admitted is (fence, attempt); a tombstone's attempt is 0.
    fence        bigint      NOT NULL,
    attempt      integer     NOT NULL,
    -- 1 SENDING, 2 DONE, 3 NOT_DONE, 4 UNKNOWN, 5 TOMBSTONE
    state        smallint    NOT NULL CHECK (state BETWEEN 1 AND 5),
    -- While SENDING: which process makes the attempt, and until when it may.
    owner        uuid,
    deadline     timestamptz,
    -- One byte (0 plain, 1 sealed), then the ActionResult.
    result       bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, execution_id, step_id, visit),
    CHECK ((state = 1) = (deadline IS NOT NULL AND owner IS NOT NULL)),
    CHECK ((state IN (2, 3, 4)) = (result IS NOT NULL))
) PARTITION BY RANGE (execution_id);

-- The first UUIDv7 of an instant: 48 bits of milliseconds, then zeros.
CREATE FUNCTION effect_ledger_bound(instant timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Makes the months from the newest partition (or the month before this one) to `months_ahead` from now, and
-- returns the names of those it made. One partition takes everything older than the first month; there is no
-- default one, which would keep months from being detached without a lock. A family whose rows are written
-- once packs them full; one that writes outcomes back leaves room for it on the page.
CREATE FUNCTION effect_ledger_extend(months_ahead integer, fill integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    newest     text;
    month      timestamp;
    part       text;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 120 OR fill NOT BETWEEN 10 AND 100 THEN
        RAISE EXCEPTION 'effect_ledger_extend: % months ahead, fill % are out of bounds', months_ahead, fill;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('wayfarer.effect_ledger_extend', 0));
    SELECT max(c.relname) INTO newest
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.effect_ledger'::regclass AND c.relname ~ '^effect_ledger_\d{6}$';
    IF newest IS NULL THEN
        month := this_month - interval '1 month';
        part := 'effect_ledger_before';
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.effect_ledger FOR VALUES FROM (MINVALUE) TO (%L)'
                       ' WITH (fillfactor = %s)',
                       part, public.effect_ledger_bound(month AT TIME ZONE 'UTC'), fill);
        RETURN NEXT part;
    ELSE
        month := to_timestamp(right(newest, 6) || '01', 'YYYYMMDD')::timestamp + interval '1 month';
    END IF;
    WHILE month <= this_month + make_interval(months => months_ahead) LOOP
        part := 'effect_ledger_' || to_char(month, 'YYYYMM');
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.effect_ledger FOR VALUES FROM (%L) TO (%L)'
                       ' WITH (fillfactor = %s, autovacuum_vacuum_scale_factor = 0.05)',
                       part, public.effect_ledger_bound(month AT TIME ZONE 'UTC'),
                       public.effect_ledger_bound((month + interval '1 month') AT TIME ZONE 'UTC'), fill);
        RETURN NEXT part;
        month := month + interval '1 month';
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION effect_ledger_extend(integer, integer) FROM PUBLIC;

-- The process logs in as the role named like its database; it may not delete, nor change the schema.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON effect_ledger TO %I', current_database());
        EXECUTE format('GRANT EXECUTE ON FUNCTION effect_ledger_extend(integer, integer) TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
