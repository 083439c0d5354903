-- L2: a run that is known is no row, and then READY is not said again.
INSERT INTO governance.run
    (platform_run_id, scenario_run_id, manifest_fingerprint, tenant_id, name, label, run_facts_ref,
     run_facts_digest, ready, created_at, actor_id, source_type, service_release_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (platform_run_id) DO NOTHING
