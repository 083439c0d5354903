-- Closed runs of which it is not known that all traffic is decided: admitted, refused, and the position.
SELECT run.platform_run_id,
    (SELECT coalesce(sum(count.admitted), 0)::bigint FROM ig.batch_count AS count
     WHERE count.platform_run_id = run.platform_run_id AND count.event_class = 'traffic'
         AND count.day >= pinned.created_at::date - 1),
    (SELECT count(DISTINCT refused.event_id) FROM rtdl.inlet_quarantine AS refused
     WHERE refused.platform_run_id = run.platform_run_id AND refused.group_name = $1),
    (SELECT lease.position FROM runtime.lease AS lease
     WHERE lease.group_name = $1 AND lease.scope = 'run_' || encode(run.platform_run_id, 'hex'))
FROM runtime.closed_run AS run
JOIN governance.run AS pinned ON pinned.platform_run_id = run.platform_run_id
WHERE run.drained_at IS NULL
ORDER BY run.pruned_at DESC, run.platform_run_id
LIMIT $2
