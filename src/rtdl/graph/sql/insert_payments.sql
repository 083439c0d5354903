-- A payment is one customer's for ever.
INSERT INTO rtdl.graph_payment (platform_run_id, event_id, customer_id)
SELECT platform_run_id, event_id, customer_id FROM unnest($1::bytea[], $2::text[], $3::text[])
    AS it (platform_run_id, event_id, customer_id)
ORDER BY platform_run_id, event_id COLLATE "C"
ON CONFLICT DO NOTHING
