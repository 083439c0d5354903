SELECT ready FROM governance.run WHERE platform_run_id = $1
