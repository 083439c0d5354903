-- Runs that may still have traffic to decide: not cancelled; ended ones until their log is drained.
SELECT run.ready,
       EXISTS (SELECT FROM governance.fact AS fact
               WHERE fact.platform_run_id = run.platform_run_id
                 AND fact.fact_type IN ('RUN_ENDED', 'RUN_CANCELLED')) AS is_over
FROM governance.run AS run
ORDER BY run.created_at, run.platform_run_id
