-- Batches on the log whose receipts of a run stand in no segment, each with the last batch of the segment
-- before it: those that have the same one before them make one range.
SELECT batch.day, batch.gate_id, batch.batch_id, count.admitted, coalesce((
        SELECT max(before.last_batch_id) FROM ig.receipt_segment AS before
        WHERE before.day = batch.day AND before.platform_run_id = $1 AND before.gate_id = batch.gate_id
            AND before.last_batch_id < batch.batch_id
    ), 0)
FROM (
    SELECT day, batch_id, sum(admitted)::bigint AS admitted FROM ig.batch_count
    WHERE platform_run_id = $1 AND admitted > 0
        AND day >= (SELECT run.created_at::date - 1 FROM governance.run AS run WHERE run.platform_run_id = $1)
    GROUP BY day, batch_id
) AS count
JOIN ig.batch AS batch ON batch.day = count.day AND batch.batch_id = count.batch_id
WHERE EXISTS (SELECT FROM ig.batch_terminal AS t WHERE t.day = batch.day AND t.batch_id = batch.batch_id)
    AND NOT EXISTS (
        SELECT FROM ig.receipt_segment AS segment
        WHERE segment.day = batch.day AND segment.platform_run_id = $1 AND segment.gate_id = batch.gate_id
            AND batch.batch_id BETWEEN segment.first_batch_id AND segment.last_batch_id
    )
ORDER BY batch.day, batch.gate_id, batch.batch_id
