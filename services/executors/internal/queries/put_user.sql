-- Writes how a user is reached; internal/people.py. Served by the primary key.
INSERT INTO notification_user (account_id, user_id, email_sealed, phone_sealed) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, user_id) DO UPDATE
    SET email_sealed = excluded.email_sealed, phone_sealed = excluded.phone_sealed
