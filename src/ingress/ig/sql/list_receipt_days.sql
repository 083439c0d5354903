-- Days on which a run may have receipts, from $2 on, and whether their rows have left: then the manifest of
-- receipts says whether it has any.
SELECT it.day, it.has_left FROM (
    SELECT p.day, false AS has_left FROM governance.day_partitions('ig') AS p WHERE p.parent = 'ig.event'::regclass
    UNION ALL
    SELECT DISTINCT dropped.day, true FROM governance.dropped_day AS dropped
    WHERE dropped.group_name = 'ig'
        AND EXISTS (SELECT FROM ig.receipt_segment AS s WHERE s.day = dropped.day AND s.platform_run_id = $1)
) AS it
WHERE it.day >= (SELECT run.created_at::date - 1 FROM governance.run AS run WHERE run.platform_run_id = $1)
    AND ($2::date IS NULL OR it.day >= $2)
ORDER BY it.day, it.has_left DESC
