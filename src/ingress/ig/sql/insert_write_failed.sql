INSERT INTO ig.receipt_write_failed (day, gate_id, first_batch_id, last_batch_id, cause, failed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
