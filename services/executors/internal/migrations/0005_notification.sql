-- Notifications shown to an account's users, and what was sent lately, so that like ones may be held back.
CREATE TABLE notification (
    account_id      bigint      NOT NULL,
    user_id         text        COLLATE "C" NOT NULL,
    -- Its order is that of the making.
    notification_id uuid        NOT NULL DEFAULT uuidv7(),
    -- The effect that made it: once per user.
    execution_id    uuid        NOT NULL,
    step_id         text        COLLATE "C" NOT NULL,
    visit           integer     NOT NULL,
    -- Sealed for "notification.title" and "notification.body".
    title_sealed    bytea       NOT NULL,
    body_sealed     bytea       NOT NULL,
    severity        text        NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    read_at         timestamptz,
    PRIMARY KEY (account_id, user_id, notification_id),
    UNIQUE (account_id, execution_id, step_id, visit, user_id)
);

CREATE INDEX notification_unread ON notification (account_id, user_id, notification_id) WHERE read_at IS NULL;

-- One row per channel, title and recipients, of notifications that have a dedup window.
CREATE TABLE notification_mark (
    account_id   bigint      NOT NULL,
    -- A keyed hash of channel, title and recipients.
    likeness     bytea       NOT NULL CHECK (octet_length(likeness) = 32),
    -- The effect that sent it last.
    execution_id uuid        NOT NULL,
    step_id      text        COLLATE "C" NOT NULL,
    visit        integer     NOT NULL,
    marked_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, likeness)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX notification_mark_age ON notification_mark (marked_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON notification TO %I', current_database());
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON notification_mark TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
