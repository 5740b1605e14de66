-- Driven executions whose write stood out because somebody asked something of them; dispatcher/commit.py. Primary key.
SELECT e.account_id, e.execution_id, e.workflow_id, e.contact_id, e.version, e.priority, e.blocked_on, e.fence, e.rev,
    e.step, e.visit, e.attempt, e.failures, e.crashes, e.attempt_open, e.open_seq, e.open_at, e.steps_run, e.log_seq,
    e.log_hash, e.input_sealed, e.state_sealed, e.asks, e.ask, e.ask_detail, e.held_on, e.resume_at, e.not_before,
    e.wait_seq, e.wait_sealed, e.signals_sealed, e.blocked_by
FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS u (account_id, execution_id, fence)
JOIN execution e ON e.account_id = u.account_id AND e.execution_id = u.execution_id AND e.fence = u.fence
WHERE e.status = 2
