-- The link of one decision: a snapshot of another history has another one.
SELECT link FROM dla.decision WHERE platform_run_id = $1 AND seq = $2
