-- What of a gate's receipts is surely written: segments are made in order.
SELECT day, last_batch_id FROM ig.receipt_segment WHERE gate_id = $1
ORDER BY day DESC, last_batch_id DESC
LIMIT 1
