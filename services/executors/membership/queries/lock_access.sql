-- Lets one transaction at a time decide about a contact's access, also where there is no row yet;
-- membership/builtin.py, first of its transaction. Of two keys with one hash, one waits for nothing.
SELECT pg_advisory_xact_lock(hashtextextended($1::bigint || ':' || $2::uuid || ':' || $3::text, 0))
