INSERT INTO dla.decision_segment (day, platform_run_id, first_seq, last_seq, last_link, first_ts, last_ts,
    first_decided_at, last_decided_at, id_filter, object_key, object_bytes, content_hash, written_at, stamps)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
