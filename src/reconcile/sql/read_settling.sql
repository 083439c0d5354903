-- What waiting waits for: open batches, receipts behind admissions, traffic without a decision, messages on their way.
SELECT count.admitted, count.traffic, receipt.written, refused.traffic_refused, open.batches
FROM (
    SELECT coalesce(sum(admitted), 0)::bigint AS admitted,
        coalesce(sum(admitted) FILTER (WHERE event_class = 'traffic'), 0)::bigint AS traffic
    FROM ig.batch_count WHERE platform_run_id = $1 AND day >= $2
) AS count, (
    SELECT coalesce(sum(receipts_count), 0)::bigint AS written
    FROM ig.receipt_segment WHERE platform_run_id = $1 AND day >= $2
) AS receipt, (
    SELECT count(DISTINCT event_id) AS traffic_refused
    FROM rtdl.inlet_quarantine WHERE platform_run_id = $1 AND group_name = $3 AND day >= $2
) AS refused, (
    SELECT (SELECT count(*) FROM runtime.inflight) + (SELECT count(*) FROM runtime.outbox) AS batches
) AS open
