-- The chain is dense from 1, so its last seq is the count; four steps into an index, however long it is. Of days
-- that have left the manifest of segments knows.
SELECT greatest(last.seq, kept.last_seq, 0),
       least(first.decided_at, begun.first_decided_at),
       greatest(last.decided_at, kept.last_decided_at)
FROM (VALUES (0)) AS one
LEFT JOIN LATERAL (SELECT decided_at FROM dla.decision
                   WHERE platform_run_id = $1 ORDER BY seq LIMIT 1) AS first ON true
LEFT JOIN LATERAL (SELECT seq, decided_at FROM dla.decision
                   WHERE platform_run_id = $1 ORDER BY seq DESC LIMIT 1) AS last ON true
LEFT JOIN LATERAL (SELECT first_decided_at FROM dla.decision_segment
                   WHERE platform_run_id = $1 ORDER BY last_seq LIMIT 1) AS begun ON true
LEFT JOIN LATERAL (SELECT last_seq, last_decided_at FROM dla.decision_segment
                   WHERE platform_run_id = $1 ORDER BY last_seq DESC LIMIT 1) AS kept ON true
