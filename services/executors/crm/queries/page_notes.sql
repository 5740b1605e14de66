-- Reads a contact's notes, newest first, up to $4 after $3; crm/notes.py. Served by the primary key.
SELECT note_id, text_sealed, pinned, created_at FROM contact_note
WHERE account_id = $1 AND contact_id = $2 AND ($3::uuid IS NULL OR note_id < $3)
ORDER BY note_id DESC LIMIT $4
