WITH gone AS (DELETE FROM runtime.feature_state WHERE platform_run_id = ANY ($1))
UPDATE runtime.closed_run SET emptied_at = $2 WHERE platform_run_id = ANY ($1)
