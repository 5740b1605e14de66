-- Reads an account's pipelines by key with their stages in order, up to $3 after $2; crm/pipelines.py. Served by both
-- primary keys.
SELECT p.pipeline, p.name_sealed,
       ARRAY(SELECT s.stage FROM pipeline_stage s
             WHERE s.account_id = p.account_id AND s.pipeline = p.pipeline ORDER BY s.position) AS stages,
       ARRAY(SELECT s.name_sealed FROM pipeline_stage s
             WHERE s.account_id = p.account_id AND s.pipeline = p.pipeline ORDER BY s.position) AS stage_names
FROM pipeline p WHERE p.account_id = $1 AND p.pipeline > $2 ORDER BY p.pipeline LIMIT $3
