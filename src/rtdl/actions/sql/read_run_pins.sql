SELECT platform_run_id, ready FROM governance.run WHERE platform_run_id = ANY($1)
