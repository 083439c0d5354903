UPDATE runtime.closed_run SET drained_at = $2 WHERE platform_run_id = $1
