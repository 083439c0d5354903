INSERT INTO rtdl.inlet_quarantine (day, group_name, stream, shard_id, sequence_number, platform_run_id, event_class,
    event_id, payload_hash, code, detail, quarantined_at, stamps)
SELECT $1::date, $2::text, $3::text, $4::text, sequence_number, platform_run_id, event_class, event_id, payload_hash, code,
    detail, $5::timestamptz, $6::text
FROM unnest($7::text[], $8::bytea[], $9::text[], $10::text[], $11::bytea[], $12::text[], $13::text[])
    AS it (sequence_number, platform_run_id, event_class, event_id, payload_hash, code, detail)
