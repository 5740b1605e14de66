-- Drops the months of the ledger that nobody can ask about any more: older than `months_kept`, and with nothing
-- under way. An effect is asked about while its execution may still have it open, which is minutes, not months.
CREATE FUNCTION effect_ledger_retire(months_kept integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    part text;
    busy boolean;
BEGIN
    IF months_kept NOT BETWEEN 2 AND 240 THEN
        RAISE EXCEPTION 'effect_ledger_retire: % months are out of bounds', months_kept;
    END IF;
    PERFORM set_config('lock_timeout', '2000', true);
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.effect_ledger'::regclass AND c.relname ~ '^effect_ledger_\d{6}$'
          AND to_date(right(c.relname, 6), 'YYYYMM')
              < date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => months_kept)
        ORDER BY 1
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE state = 1)', part) INTO busy;
        CONTINUE WHEN busy;
        BEGIN
            EXECUTE format('DROP TABLE public.%I', part);
            RETURN NEXT part;
        EXCEPTION WHEN lock_not_available THEN
            RAISE NOTICE '% is in use', part;
        END;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION effect_ledger_retire(integer) FROM PUBLIC;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION effect_ledger_retire(integer) TO %I', current_database());
    END IF;
END $$;
