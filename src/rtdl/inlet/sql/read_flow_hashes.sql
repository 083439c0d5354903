-- What stands under the flows of a batch, read in a statement of its own after an insert met it.
SELECT flow_key, payload_hash FROM rtdl.flow_binding WHERE flow_key = ANY ($1)
