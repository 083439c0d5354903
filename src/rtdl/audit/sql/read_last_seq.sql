SELECT coalesce(max(seq), 0) FROM dla.decision WHERE platform_run_id = $1
