COPY ig.dedupe (event_key, payload_hash, batch_id, item, day, horizon_day, platform_run_id)
FROM STDIN BINARY
