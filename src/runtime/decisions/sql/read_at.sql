SELECT platform_run_id, seq, decision_id, body, evidence, body_hash, evidence_hash, link
FROM dla.decision WHERE platform_run_id = $1 AND seq = ANY($2)
ORDER BY seq
