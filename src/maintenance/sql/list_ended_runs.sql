-- Runs that ended before $1 and are not closed: nothing of them is admitted since.
SELECT fact.platform_run_id FROM governance.fact AS fact
WHERE fact.fact_type IN ('RUN_ENDED', 'RUN_CANCELLED') AND fact.platform_run_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM runtime.closed_run AS it WHERE it.platform_run_id = fact.platform_run_id)
GROUP BY fact.platform_run_id
HAVING min(fact.observed_time) < $1
ORDER BY min(fact.observed_time), fact.platform_run_id
LIMIT $2
