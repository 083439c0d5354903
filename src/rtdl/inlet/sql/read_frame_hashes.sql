-- What stands under the keys of a batch, read in a statement of its own after an insert met it.
SELECT frame_key, payload_hash FROM rtdl.frame_part WHERE frame_key = ANY ($1) AND part = $2
