SELECT coalesce(sum(seen), 0)::bigint, coalesce(sum(written), 0)::bigint, coalesce(sum(deduped), 0)::bigint,
    coalesce(sum(quarantined), 0)::bigint
FROM rtdl.inlet_count WHERE platform_run_id = $1 AND group_name = $2 AND day >= $3
