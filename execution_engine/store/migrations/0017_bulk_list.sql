-- Enrolments of many as lists: the contacts come in as arrays of a thousand, and what they came to is written as
-- arrays too. A row for each contact, written twice, cost more than the execution's own.
ALTER TABLE bulk_operation
    ADD COLUMN listed boolean NOT NULL DEFAULT false,    -- its items are in bulk_list and bulk_answer, not in bulk_item
    ADD COLUMN outcomes text NOT NULL DEFAULT '{}';      -- of one that is listed: JSON, how many came to what

-- Items first, first + 1 … of an operation.
CREATE TABLE bulk_list (
    account_id bigint NOT NULL,
    operation_id uuid NOT NULL,
    first integer NOT NULL,
    subjects uuid[] NOT NULL,
    repeats integer[] NOT NULL,            -- of these items, those whose subject an earlier item has
    PRIMARY KEY (account_id, operation_id, first)
);
-- What items first, first + 1 … came to. Items are worked off in order: there is no gap.
CREATE TABLE bulk_answer (
    account_id bigint NOT NULL,
    operation_id uuid NOT NULL,
    first integer NOT NULL,
    outcomes text[] NOT NULL,
    execution_ids uuid[] NOT NULL,         -- NULL where none is concerned
    PRIMARY KEY (account_id, operation_id, first)
);
-- Ids do not compress: trying costs more than it saves.
ALTER TABLE bulk_list ALTER subjects SET STORAGE EXTERNAL;
ALTER TABLE bulk_answer ALTER execution_ids SET STORAGE EXTERNAL;

-- Processes of the version before ask wf_bulk_due, and know nothing of lists.
CREATE OR REPLACE FUNCTION wf_bulk_due(most integer) RETURNS TABLE (account_id bigint, operation_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, operation_id FROM bulk_operation WHERE next_at <= wf_now() AND NOT listed
        ORDER BY next_at LIMIT most';
CREATE FUNCTION wf_bulk_due_except(busy bigint[], most integer) RETURNS TABLE (account_id bigint, operation_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS 'SELECT account_id, operation_id FROM bulk_operation
        WHERE next_at <= wf_now() AND account_id <> ALL (busy) ORDER BY next_at LIMIT most';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['bulk_list', 'bulk_answer'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_account ON %I TO wayfarer_api
                        USING (account_id = nullif(current_setting(''wayfarer.account_id'', true), '''')::bigint)', name);
        EXECUTE format('CREATE POLICY owner ON %I TO wayfarer_owner USING (true)', name);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION wf_bulk_due_except(bigint[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wf_bulk_due_except(bigint[], integer) TO wayfarer_api;
GRANT SELECT, INSERT ON bulk_list, bulk_answer TO wayfarer_api;
