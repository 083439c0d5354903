SELECT run_facts_ref, run_facts_digest FROM governance.run WHERE platform_run_id = $1
