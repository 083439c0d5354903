-- Everything that the projection holds of a run.
WITH payments AS (DELETE FROM rtdl.graph_payment WHERE platform_run_id = $1),
     labels AS (DELETE FROM rtdl.graph_label WHERE platform_run_id = $1)
DELETE FROM rtdl.graph_link WHERE platform_run_id = $1
