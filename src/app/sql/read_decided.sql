SELECT count(*), min(decided_at), max(decided_at) FROM dla.decision WHERE platform_run_id = $1
