-- Failed writes of the gates that admitted events of a run, on those days.
SELECT count(*) FROM ig.receipt_write_failed AS failed
WHERE EXISTS (
    SELECT FROM ig.batch_count AS count JOIN ig.batch AS batch ON batch.day = count.day AND batch.batch_id = count.batch_id
    WHERE count.day = failed.day AND count.platform_run_id = $1 AND count.admitted > 0 AND batch.gate_id = failed.gate_id
        AND count.batch_id BETWEEN failed.first_batch_id AND failed.last_batch_id
)
