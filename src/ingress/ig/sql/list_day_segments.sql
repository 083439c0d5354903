-- The receipt segments of a run and day that hold batches from $3 on.
SELECT first_batch_id, object_key, content_hash FROM ig.receipt_segment
WHERE platform_run_id = $1 AND day = $2 AND last_batch_id >= $3
ORDER BY first_batch_id, gate_id
