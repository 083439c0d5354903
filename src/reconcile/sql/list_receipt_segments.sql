SELECT day, gate_id, first_batch_id, last_batch_id, receipts_count, object_key, content_hash FROM ig.receipt_segment
WHERE platform_run_id = $1 AND day >= $2
ORDER BY gate_id, first_batch_id
