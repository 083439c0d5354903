-- L1, L2: a repeat of a fact is no row.
INSERT INTO governance.fact
    (fact_id, fact_type, natural_key, platform_run_id, actor_id, source_type, service_release_id, observed_time, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (fact_id) DO NOTHING
