SELECT body FROM governance.fact
WHERE ($1::bytea IS NULL OR platform_run_id = $1) AND ($2::text IS NULL OR fact_type = $2)
ORDER BY observed_time DESC, fact_id
LIMIT $3
