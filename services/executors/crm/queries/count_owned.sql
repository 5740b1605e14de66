-- Changes how many contacts users own, by a difference each; crm/users.py, with the users locked. Served by the
-- primary key.
UPDATE crm_user c SET owned = c.owned + u.difference
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (account_id, user_id, difference)
WHERE c.account_id = u.account_id AND c.user_id = u.user_id COLLATE "C"
