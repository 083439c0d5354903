-- Runs that may still have traffic to decide: not cancelled; ended ones until their log is drained.
SELECT run.ready,
       EXISTS (SELECT FROM governance.fact AS fact
               WHERE fact.platform_run_id = run.platform_run_id
                 AND fact.fact_type IN ('RUN_ENDED', 'RUN_CANCELLED')) AS is_over,
       run.name
FROM governance.run AS run
-- Maintenance found all of its traffic decided, long after its end.
WHERE NOT EXISTS (SELECT FROM runtime.closed_run AS closed
                  WHERE closed.platform_run_id = run.platform_run_id AND closed.drained_at IS NOT NULL)
ORDER BY run.created_at, run.platform_run_id
