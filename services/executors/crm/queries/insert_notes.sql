-- Writes notes; crm/notes.py, in the batch's transaction, the contacts held. In key order.
INSERT INTO contact_note (account_id, contact_id, note_id, text_sealed, pinned)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::bytea[], $5::boolean[])
ORDER BY 1, 2, 3
