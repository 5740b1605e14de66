-- The built-in courses, and which contacts have access to them. Names are sealed; keys, states and times are plain.
CREATE TABLE course (
    account_id  bigint  NOT NULL,
    course      text    COLLATE "C" NOT NULL,
    -- Sealed for "membership.course".
    name_sealed bytea   NOT NULL,
    -- Whether access may be granted.
    active      boolean NOT NULL,
    PRIMARY KEY (account_id, course)
);

CREATE TABLE course_access (
    account_id    bigint      NOT NULL,
    contact_id    uuid        NOT NULL,
    course        text        COLLATE "C" NOT NULL,
    enrollment_id uuid        NOT NULL,
    granted_at    timestamptz NOT NULL,
    -- NULL: it does not end by itself.
    expires_at    timestamptz,
    -- NULL: it was not revoked since it was granted.
    revoked_at    timestamptz,
    -- Percent.
    progress      smallint    NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    -- The effects that last granted and last revoked: one that comes again is known by them and does nothing.
    grant_effect  text        COLLATE "C" NOT NULL,
    revoke_effect text        COLLATE "C",
    PRIMARY KEY (account_id, contact_id, course)
) WITH (fillfactor = 80);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON course, course_access TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
