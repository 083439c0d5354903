-- Only whether a known run has ended: the rest of it never changes (L1).
SELECT EXISTS (
    SELECT FROM governance.fact
    WHERE platform_run_id = $1 AND fact_type IN ('RUN_ENDED', 'RUN_CANCELLED')
)
