SELECT count(*) FROM rtdl.inlet_quarantine WHERE platform_run_id = $1 AND group_name = $2 AND day >= $3
