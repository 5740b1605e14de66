-- Writes down messages about to be sent; store/intents.py, under the contacts' locks. Stamped after the lock was
-- taken, so that an opt-out's stamp tells which came first. A retry of the same visit is the same message.
INSERT INTO message_intent (account_id, contact_id, at, channel, category, execution_id, step_id, visit)
SELECT u.account_id, u.contact_id, clock_timestamp() + o.shift, u.channel, u.category, u.execution_id, u.step_id, u.visit
FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::uuid[], $6::text[], $7::smallint[])
    AS u (account_id, contact_id, channel, category, execution_id, step_id, visit)
CROSS JOIN clock_offset o
ORDER BY u.account_id, u.contact_id, u.execution_id, u.step_id, u.visit
ON CONFLICT DO NOTHING
