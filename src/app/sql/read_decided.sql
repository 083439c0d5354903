-- The chain is dense from 1, so its last seq is the count; two steps into an index, however long it is.
SELECT coalesce(last.seq, 0), first.decided_at, last.decided_at
FROM (VALUES (0)) AS one
LEFT JOIN LATERAL (SELECT decided_at FROM dla.decision
                   WHERE platform_run_id = $1 ORDER BY seq LIMIT 1) AS first ON true
LEFT JOIN LATERAL (SELECT seq, decided_at FROM dla.decision
                   WHERE platform_run_id = $1 ORDER BY seq DESC LIMIT 1) AS last ON true
