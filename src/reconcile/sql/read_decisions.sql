-- A page of the chain. Two rows of one seq lie on two days, where no key forbids them.
SELECT day, seq, decision_id, event_id, body, evidence, body_hash, evidence_hash, link FROM dla.decision
WHERE platform_run_id = $1 AND day >= $2 AND (seq, day) > ($3, $4)
ORDER BY seq, day
LIMIT $5
