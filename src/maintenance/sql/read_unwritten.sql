-- What follows a place in a run's chain.
SELECT platform_run_id, seq, decision_id, body, evidence, body_hash, evidence_hash, link,
    event_id, ts_utc, outcome, degraded, decided_at, day, keys
FROM dla.decision WHERE platform_run_id = $1 AND seq > $2
ORDER BY seq, day
LIMIT $3
