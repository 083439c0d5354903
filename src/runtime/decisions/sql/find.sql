SELECT platform_run_id, seq, decision_id, body, evidence, body_hash, evidence_hash, link
FROM dla.decision WHERE decision_id = ANY($1)
ORDER BY platform_run_id, seq
