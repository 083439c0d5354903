-- Bindings first, as they are written: a flow never points to a frame that is gone.
WITH unbound AS (
    DELETE FROM rtdl.flow_binding WHERE flow_key = ANY ($3)
), gone AS (
    DELETE FROM rtdl.frame_part AS it
    USING unnest($1::bytea[], $2::smallint[]) AS gone (frame_key, part)
    WHERE it.frame_key = gone.frame_key AND it.part = gone.part
    RETURNING it.part
)
SELECT count(*) FROM gone
