-- The receipt segments of a run, or of one of its days, the newest first.
SELECT first_batch_id, object_key, content_hash FROM ig.receipt_segment
WHERE platform_run_id = $1 AND ($2::date IS NULL OR day = $2)
ORDER BY day DESC, first_batch_id DESC, gate_id
LIMIT $3
