-- L3: a flow is bound once. Sorted by key, and always before the frame parts of the same batch.
INSERT INTO rtdl.flow_binding (flow_key, frame_key, payload_hash)
SELECT flow_key, frame_key, payload_hash
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS it (flow_key, frame_key, payload_hash)
ON CONFLICT (flow_key) DO NOTHING
