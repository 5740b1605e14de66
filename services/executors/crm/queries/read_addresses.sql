-- Reads a contact's addresses, to be found by them at a provider; crm/addresses.py. Served by the primary key.
SELECT kind, text_sealed FROM contact_address
WHERE account_id = $1 AND contact_id = $2 AND text_sealed IS NOT NULL
