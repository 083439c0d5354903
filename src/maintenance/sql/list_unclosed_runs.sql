-- Runs whose projections are still needed.
SELECT run.platform_run_id, run.run_facts_ref FROM governance.run AS run
WHERE NOT EXISTS (
    SELECT FROM runtime.closed_run AS it WHERE it.platform_run_id = run.platform_run_id AND it.drained_at IS NOT NULL
)
ORDER BY run.platform_run_id
