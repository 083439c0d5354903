SELECT feature_sets FROM runtime.feature_state WHERE platform_run_id = $1
