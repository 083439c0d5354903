SELECT run.platform_run_id, run.name, run.label, run.created_at,
       array(SELECT fact.fact_type FROM governance.fact AS fact
             WHERE fact.platform_run_id = run.platform_run_id AND fact.fact_type LIKE 'RUN\_%' ORDER BY fact.observed_time),
       (SELECT coalesce(max(decision.seq), 0) FROM dla.decision AS decision WHERE decision.platform_run_id = run.platform_run_id)
FROM governance.run AS run
ORDER BY run.created_at, run.platform_run_id
