SELECT EXISTS (SELECT FROM governance.run WHERE platform_run_id = $1),
       EXISTS (SELECT FROM rtdl.graph_rebuild WHERE platform_run_id = $1)
