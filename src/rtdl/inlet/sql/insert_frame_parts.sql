-- L3: what stands under a key first stays. Rows come sorted by key, so that batches that overlap
-- wait for one another in one order.
INSERT INTO rtdl.frame_part
    (frame_key, part, event_id, payload_hash, payload, shard_id, sequence_number, admitted_at, platform_run_id)
SELECT frame_key, $2::smallint, event_id, payload_hash, payload, shard_id, sequence_number, admitted_at, platform_run_id
FROM unnest($1::bytea[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::text[], $8::timestamptz[], $9::bytea[])
    AS it (frame_key, event_id, payload_hash, payload, shard_id, sequence_number, admitted_at, platform_run_id)
ON CONFLICT (frame_key, part) DO NOTHING
