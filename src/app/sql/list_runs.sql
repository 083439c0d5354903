SELECT run.platform_run_id, run.name, run.label, run.created_at,
       array(SELECT fact.fact_type FROM governance.fact AS fact
             WHERE fact.platform_run_id = run.platform_run_id AND fact.fact_type LIKE 'RUN\_%' ORDER BY fact.observed_time),
       greatest(
           (SELECT max(decision.seq) FROM dla.decision AS decision WHERE decision.platform_run_id = run.platform_run_id),
           (SELECT max(segment.last_seq) FROM dla.decision_segment AS segment
            WHERE segment.platform_run_id = run.platform_run_id),
           0)
FROM governance.run AS run
ORDER BY run.created_at, run.platform_run_id
