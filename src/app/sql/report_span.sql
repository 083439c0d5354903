-- The end of the run's chain as it stands now, and from when to when its decisions reach.
SELECT coalesce(max(seq), 0)::bigint, min(ts_utc), max(ts_utc), min(decided_at), max(decided_at)
FROM dla.decision WHERE platform_run_id = $1
