-- Removes a pipeline's stages but those named; crm/pipelines.py, under the pipeline's lock. Served by the primary key.
DELETE FROM pipeline_stage WHERE account_id = $1 AND pipeline = $2 AND stage <> ALL ($3::text[])
