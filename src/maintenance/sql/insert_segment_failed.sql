INSERT INTO dla.segment_write_failed (day, platform_run_id, first_seq, last_seq, cause, failed_at, stamps)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
