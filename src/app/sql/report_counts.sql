SELECT coalesce(sum(received), 0)::bigint, coalesce(sum(admitted), 0)::bigint,
       coalesce(sum(duplicate), 0)::bigint, coalesce(sum(quarantined), 0)::bigint
FROM ig.batch_count WHERE platform_run_id = $1
