-- Documents of workflow versions to compile; dispatcher/programs.py. Primary key.
SELECT v.account_id, v.workflow_id, v.version, v.document_sealed, w.key, w.name, a.name AS account_name
FROM unnest($1::bigint[], $2::uuid[], $3::integer[]) AS u (account_id, workflow_id, version)
JOIN workflow_version v USING (account_id, workflow_id, version)
JOIN workflow w USING (account_id, workflow_id)
JOIN account a USING (account_id)
