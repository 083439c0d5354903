SELECT array(SELECT fact.fact_type FROM governance.fact AS fact
             WHERE fact.platform_run_id = run.platform_run_id AND fact.fact_type LIKE 'RUN\_%')
FROM governance.run AS run WHERE run.platform_run_id = $1
