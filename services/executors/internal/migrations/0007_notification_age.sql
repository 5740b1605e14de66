-- Notifications go by age (docs/retention.md).
CREATE INDEX notification_age ON notification (created_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database()) THEN
        EXECUTE format('GRANT DELETE ON notification TO %I', current_database());
    ELSE
        RAISE NOTICE 'no role %: nothing granted', current_database();
    END IF;
END $$;
