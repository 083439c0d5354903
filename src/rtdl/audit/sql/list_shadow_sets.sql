SELECT DISTINCT feature_set_digest FROM dla.shadow_score WHERE platform_run_id = $1 AND seq BETWEEN $2 AND $3
