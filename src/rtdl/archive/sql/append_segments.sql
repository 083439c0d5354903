-- The manifest rows of one write-out, in the transaction that moves the archive's position (L4).
INSERT INTO rtdl.archive_segment (day, folder, platform_run_id, stream, shard_id, first_sequence, last_sequence,
    records_count, object_key, object_bytes, content_hash, archived_at, stamps)
SELECT $1::date, folder, platform_run_id, $2::text, $3::text, first_sequence, last_sequence, records_count, object_key,
    object_bytes, content_hash, $4::timestamptz, $5::text
FROM unnest($6::text[], $7::bytea[], $8::text[], $9::text[], $10::int[], $11::text[], $12::bigint[], $13::bytea[])
    AS it (folder, platform_run_id, first_sequence, last_sequence, records_count, object_key, object_bytes, content_hash)
