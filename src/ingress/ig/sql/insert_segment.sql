-- The manifest row is the truth; it commits with the worker's position (L4).
INSERT INTO ig.receipt_segment
    (day, platform_run_id, gate_id, first_batch_id, last_batch_id, receipts_count, object_key, content_hash, written_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
