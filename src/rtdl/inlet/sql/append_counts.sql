-- L11: what the batch counted, by run, in the transaction that counted it.
INSERT INTO rtdl.inlet_count (day, group_name, stream, shard_id, first_sequence, last_sequence, platform_run_id, seen,
    written, deduped, quarantined, counted_at, stamps)
SELECT $1::date, $2::text, $3::text, $4::text, $5::text, $6::text, platform_run_id, seen, written, deduped, quarantined,
    $7::timestamptz, $8::text
FROM unnest($9::bytea[], $10::int[], $11::int[], $12::int[], $13::int[])
    AS it (platform_run_id, seen, written, deduped, quarantined)
