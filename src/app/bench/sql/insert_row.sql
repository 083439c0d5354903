INSERT INTO ig.dedupe (event_key, payload_hash, batch_id, item, day, horizon_day, platform_run_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
