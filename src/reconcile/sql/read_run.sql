SELECT ready, created_at FROM governance.run WHERE platform_run_id = $1
