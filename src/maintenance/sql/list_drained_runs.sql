SELECT platform_run_id FROM runtime.closed_run
WHERE drained_at IS NOT NULL AND emptied_at IS NULL
ORDER BY drained_at, platform_run_id
LIMIT $1
