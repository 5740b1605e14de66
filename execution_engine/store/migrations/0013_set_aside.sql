-- Events that were set aside are listed, and few among many that pass through.
CREATE INDEX event_inbox_aside ON event_inbox (account_id, inbox_id) WHERE failed_at IS NOT NULL;
