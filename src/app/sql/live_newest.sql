-- The newest decisions after a place in the chain: for how long they waited.
SELECT evidence FROM dla.decision
WHERE platform_run_id = $1 AND seq > $2
ORDER BY seq DESC LIMIT $3
