-- The newest payments that were stopped outright or sent to a person.
SELECT body FROM dla.decision
WHERE platform_run_id = $1 AND seq > $2 AND outcome IN ('DECLINE', 'REVIEW')
ORDER BY seq DESC LIMIT $3
