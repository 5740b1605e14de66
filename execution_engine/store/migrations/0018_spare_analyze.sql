-- Statistics are sampled anew when much has changed. Every execution changes its row seven times within
-- seconds, so at a twentieth of the table that was on every round of autovacuum, at a twentieth of all CPU;
-- what the planner asks of this table hardly changes. A month's tables only grow: at twice the size is enough.
ALTER TABLE execution SET (autovacuum_analyze_scale_factor = 0.5);

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
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)
                        WITH (autovacuum_analyze_scale_factor = 1)',
                    parent || to_char(lower_bound AT TIME ZONE 'UTC', '_YYYY_MM'), parent,
                    wf_uuid_floor(lower_bound),
                    wf_uuid_floor((lower_bound AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN
        SELECT inhrelid FROM pg_inherits
        WHERE inhparent IN ('execution_history'::regclass, 'execution_log'::regclass, 'event'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_analyze_scale_factor = 1)', month);
    END LOOP;
END $$;
