-- The first assertion of an id stands.
INSERT INTO rtdl.graph_label (platform_run_id, event_id, observed_time, label_assertion_id, is_fraud)
SELECT platform_run_id, event_id, observed_time, label_assertion_id, is_fraud
FROM unnest($1::bytea[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[])
    AS it (platform_run_id, event_id, observed_time, label_assertion_id, is_fraud)
ORDER BY platform_run_id, event_id COLLATE "C", observed_time, label_assertion_id COLLATE "C"
ON CONFLICT DO NOTHING
