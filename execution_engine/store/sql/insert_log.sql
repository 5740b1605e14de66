-- Appends log rows where COPY cannot be used (row-level security) or does not pay (a few rows: one round trip
-- instead of three); store/cancel.py, store/commits.py.
INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt,
    started_at, at, outcome, detail, private_sealed, hash)
SELECT u.* FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::integer[], $5::smallint[], $6::text[],
    $7::text[], $8::smallint[], $9::smallint[], $10::timestamptz[], $11::timestamptz[], $12::smallint[], $13::text[],
    $14::bytea[], $15::bytea[])
    AS u (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt, started_at, at, outcome,
          detail, private_sealed, hash)
