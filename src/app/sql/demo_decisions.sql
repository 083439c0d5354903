SELECT event_id, outcome, degraded, decided_at, evidence, decision_id
FROM dla.decision WHERE platform_run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
