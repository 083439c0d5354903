COPY ig.event
    (day, batch_id, item, event_key, platform_run_id, event_class, event_id, payload_hash, ts_utc)
FROM STDIN BINARY
