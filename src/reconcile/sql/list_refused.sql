-- Events that a group refused, each once.
SELECT DISTINCT event_id FROM rtdl.inlet_quarantine
WHERE platform_run_id = $1 AND group_name = $2 AND day >= $3 AND event_id IS NOT NULL
