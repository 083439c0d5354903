DELETE FROM rtdl.graph_link WHERE platform_run_id = $1
