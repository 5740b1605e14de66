-- How the account's users are reached, and which roles they have; the platform keeps it through NotificationService.
CREATE TABLE notification_user (
    account_id   bigint NOT NULL,
    user_id      text   COLLATE "C" NOT NULL,
    -- Sealed for "notification.email" and "notification.phone"; null for none.
    email_sealed bytea,
    phone_sealed bytea,
    PRIMARY KEY (account_id, user_id)
);

CREATE TABLE notification_user_role (
    account_id bigint NOT NULL,
    role       text   COLLATE "C" NOT NULL,
    user_id    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, role, user_id),
    FOREIGN KEY (account_id, user_id) REFERENCES notification_user ON DELETE CASCADE
);

-- A user's roles, when they are read, replaced or deleted with the user.
CREATE INDEX notification_user_role_user ON notification_user_role (account_id, user_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON notification_user, notification_user_role TO %I',
                       current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
