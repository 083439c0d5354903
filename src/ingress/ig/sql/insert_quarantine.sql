-- L3: nothing is dropped silently; the object with the payload was durable before this row.
INSERT INTO ig.quarantine
    (day, quarantine_id, batch_id, item, platform_run_id, event_class, event_id, payload_hash,
     code, detail, object_key, quarantined_at)
SELECT $1, quarantine_id, $2, item, platform_run_id, event_class, event_id, payload_hash,
    code, detail, object_key, $3
FROM unnest($4::bytea[], $5::int[], $6::bytea[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[], $12::text[])
    AS new (quarantine_id, item, platform_run_id, event_class, event_id, payload_hash, code, detail, object_key)
