-- Writes a pipeline's stages in the order given; crm/pipelines.py, under the pipeline's lock. Served by the primary key.
INSERT INTO pipeline_stage (account_id, pipeline, stage, position, name_sealed)
SELECT $1, $2, stage, place - 1, name_sealed
FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS u (stage, name_sealed, place)
ON CONFLICT (account_id, pipeline, stage)
    DO UPDATE SET position = excluded.position, name_sealed = excluded.name_sealed
