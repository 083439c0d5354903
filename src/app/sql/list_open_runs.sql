-- Runs without an end, and ended ones that a decision worker still holds: it lets go once drained.
SELECT run.platform_run_id FROM governance.run AS run
WHERE NOT EXISTS (SELECT FROM governance.fact AS fact
                  WHERE fact.platform_run_id = run.platform_run_id
                    AND fact.fact_type IN ('RUN_ENDED', 'RUN_CANCELLED'))
   OR EXISTS (SELECT FROM runtime.lease AS lease
              WHERE lease.group_name = 'decision' AND lease.expires_at > now()
                AND lease.scope = 'run_' || encode(run.platform_run_id, 'hex'))
