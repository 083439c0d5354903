SELECT EXISTS (SELECT FROM governance.run WHERE platform_run_id = $1)
