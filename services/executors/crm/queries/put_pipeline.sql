-- Writes a pipeline and locks it for its stages; crm/pipelines.py. Served by the primary key.
INSERT INTO pipeline (account_id, pipeline, name_sealed) VALUES ($1, $2, $3)
ON CONFLICT (account_id, pipeline) DO UPDATE SET name_sealed = excluded.name_sealed
