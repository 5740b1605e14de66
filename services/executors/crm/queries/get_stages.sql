-- Reads the stages of pipelines; crm/pipelines.py, in the batch's transaction. Served by the primary key.
SELECT s.account_id, s.pipeline, s.stage, s.position
FROM (SELECT DISTINCT account_id, pipeline FROM unnest($1::bigint[], $2::text[]) AS u (account_id, pipeline)) AS a
JOIN pipeline_stage s ON s.account_id = a.account_id AND s.pipeline = a.pipeline COLLATE "C"
