-- What people in a crm keep about contacts, and the users, pipelines and campaigns an account has of its own.
-- Names, titles and bodies are sealed; ids, keys, states and times are plain.

-- Who looks after the contact; counted in crm_user.owned.
ALTER TABLE contact_record ADD COLUMN owner_id text COLLATE "C";

CREATE TABLE crm_user (
    account_id  bigint  NOT NULL,
    user_id     text    COLLATE "C" NOT NULL,
    -- Sealed for "crm.user".
    name_sealed bytea   NOT NULL,
    active      boolean NOT NULL,
    -- How many contacts this user owns: kept by whoever writes contact_record.owner_id, under this row's lock.
    owned       bigint  NOT NULL DEFAULT 0 CHECK (owned >= 0),
    PRIMARY KEY (account_id, user_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- How many turns were taken under a key of assign_to_user.
CREATE TABLE assignment_turn (
    account_id bigint NOT NULL,
    key        text   COLLATE "C" NOT NULL,
    taken      bigint NOT NULL,
    PRIMARY KEY (account_id, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE pipeline (
    account_id  bigint NOT NULL,
    pipeline    text   COLLATE "C" NOT NULL,
    -- Sealed for "crm.pipeline", as those of the stages.
    name_sealed bytea  NOT NULL,
    PRIMARY KEY (account_id, pipeline)
);

CREATE TABLE pipeline_stage (
    account_id  bigint  NOT NULL,
    pipeline    text    COLLATE "C" NOT NULL,
    stage       text    COLLATE "C" NOT NULL,
    -- From 0; a higher one is further on.
    position    integer NOT NULL,
    name_sealed bytea   NOT NULL,
    PRIMARY KEY (account_id, pipeline, stage)
);

CREATE TABLE campaign (
    account_id  bigint NOT NULL,
    campaign    text   COLLATE "C" NOT NULL,
    -- Sealed for "crm.campaign".
    name_sealed bytea  NOT NULL,
    PRIMARY KEY (account_id, campaign)
);

-- Ids of what follows are UUIDv7: their order is that of their making.
CREATE TABLE contact_note (
    account_id   bigint      NOT NULL,
    contact_id   uuid        NOT NULL,
    note_id      uuid        NOT NULL,
    -- {"title", "body"} as JSON, sealed for "crm.note".
    text_sealed  bytea       NOT NULL,
    pinned       boolean     NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, contact_id, note_id)
);

CREATE TABLE contact_task (
    account_id   bigint      NOT NULL,
    contact_id   uuid        NOT NULL,
    task_id      uuid        NOT NULL,
    -- {"title", "body"} as JSON, sealed for "crm.task".
    text_sealed  bytea       NOT NULL,
    due_at       timestamptz NOT NULL,
    assigned_to  text        COLLATE "C",
    priority     text        NOT NULL CHECK (priority IN ('low', 'normal', 'high')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, contact_id, task_id)
);

CREATE TABLE campaign_enrolment (
    account_id   bigint      NOT NULL,
    contact_id   uuid        NOT NULL,
    enrolment_id uuid        NOT NULL,
    campaign     text        COLLATE "C" NOT NULL,
    joined_at    timestamptz NOT NULL DEFAULT now(),
    -- NULL while the contact is in the campaign.
    left_at      timestamptz,
    PRIMARY KEY (account_id, contact_id, enrolment_id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX campaign_enrolment_active ON campaign_enrolment (account_id, contact_id, campaign)
    WHERE left_at IS NULL;

CREATE TABLE opportunity (
    account_id     bigint        NOT NULL,
    contact_id     uuid          NOT NULL,
    opportunity_id uuid          NOT NULL,
    pipeline       text          COLLATE "C" NOT NULL,
    stage          text          COLLATE "C" NOT NULL,
    status         text          NOT NULL CHECK (status IN ('open', 'won', 'lost', 'abandoned')),
    -- Sealed for "crm.opportunity".
    name_sealed    bytea         NOT NULL,
    value          numeric(15, 2),
    currency       text,
    source         text,
    assigned_to    text          COLLATE "C",
    created_at     timestamptz   NOT NULL DEFAULT now(),
    updated_at     timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, contact_id, opportunity_id)
) WITH (fillfactor = 80);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON crm_user, assignment_turn, pipeline, campaign TO %I',
                       current_database());
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON pipeline_stage, contact_note, contact_task,'
                       ' campaign_enrolment, opportunity TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
