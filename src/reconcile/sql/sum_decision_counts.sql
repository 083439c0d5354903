SELECT coalesce(sum(seen), 0)::bigint, coalesce(sum(decided), 0)::bigint, coalesce(sum(repeated), 0)::bigint,
    coalesce(sum(quarantined), 0)::bigint, coalesce(sum(other_runs), 0)::bigint
FROM dla.decision_count WHERE platform_run_id = $1 AND day >= $2
