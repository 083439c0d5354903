DELETE FROM rtdl.graph_rebuild WHERE platform_run_id = $1
