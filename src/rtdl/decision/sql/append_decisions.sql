COPY dla.decision
    (day, platform_run_id, seq, decision_id, event_id, ts_utc, outcome, degraded, body, evidence,
     body_hash, evidence_hash, link, decided_at, keys)
FROM STDIN BINARY
