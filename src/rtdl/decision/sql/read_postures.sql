-- The newest change of posture of every run that had one. The natural key is run, seq, posture.
SELECT DISTINCT ON (platform_run_id) body
FROM governance.fact
WHERE fact_type = 'POSTURE_CHANGED'
ORDER BY platform_run_id, (natural_key[2])::bigint DESC
