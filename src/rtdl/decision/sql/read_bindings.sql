SELECT flow_key, frame_key FROM rtdl.flow_binding WHERE flow_key = ANY($1)
