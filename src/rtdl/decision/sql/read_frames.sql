SELECT frame_key, part, payload_hash, payload, shard_id, sequence_number
FROM rtdl.frame_part WHERE frame_key = ANY($1)
