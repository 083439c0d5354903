-- A run as the Scenario Runner pinned it, and whether it has ended: nothing is admitted after
-- RUN_ENDED or RUN_CANCELLED.
SELECT scenario_run_id, manifest_fingerprint, tenant_id, run_facts_ref, run_facts_digest,
    EXISTS (
        SELECT FROM governance.fact f
        WHERE f.platform_run_id = r.platform_run_id AND f.fact_type IN ('RUN_ENDED', 'RUN_CANCELLED')
    )
FROM governance.run r
WHERE r.platform_run_id = $1
