-- The newest word on a run and on all runs; without a run, on every scope that anybody spoke of.
SELECT DISTINCT ON (platform_run_id)
       force_id, platform_run_id, posture, reason, expires_at, recorded_at, actor_id, source_type
FROM rtdl.posture_force
WHERE $1::bytea IS NULL OR platform_run_id = $1 OR platform_run_id IS NULL
ORDER BY platform_run_id, force_no DESC
