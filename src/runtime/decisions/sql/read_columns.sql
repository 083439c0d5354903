-- What stands beside some decisions of a run, which their records say too.
SELECT seq, day, event_id, ts_utc, outcome, degraded, decided_at, keys
FROM dla.decision
WHERE platform_run_id = $1 AND $2 <= seq AND seq <= $3
