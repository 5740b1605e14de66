-- Appends log rows where COPY cannot be used (row-level security); store/enrollment.py, store/cancel.py.
INSERT INTO execution_log (account_id, execution_id, seq, seq_end, event, step_id, step_type, visit, attempt,
    started_at, at, outcome, detail, private_sealed, hash)
SELECT $1, u.* FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::smallint[], $6::text[], $7::text[],
    $8::smallint[], $9::smallint[], $10::timestamptz[], $11::timestamptz[], $12::smallint[], $13::text[],
    $14::bytea[], $15::bytea[])
    AS u (execution_id, seq, seq_end, event, step_id, step_type, visit, attempt, started_at, at, outcome, detail,
          private_sealed, hash)
