-- The end of the run's chain as it stands now, and from when to when its decisions reach; days that have left
-- included, of which the manifest of segments knows.
SELECT greatest(max(it.seq), 0), min(it.first_ts), max(it.last_ts), min(it.first_decided_at), max(it.last_decided_at)
FROM (
    SELECT max(seq) AS seq, min(ts_utc) AS first_ts, max(ts_utc) AS last_ts,
           min(decided_at) AS first_decided_at, max(decided_at) AS last_decided_at
    FROM dla.decision WHERE platform_run_id = $1
    UNION ALL
    SELECT max(last_seq), min(first_ts), max(last_ts), min(first_decided_at), max(last_decided_at)
    FROM dla.decision_segment WHERE platform_run_id = $1
) AS it
