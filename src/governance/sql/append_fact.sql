-- L1, L2: a repeat of a fact is no row. Natural keys come as JSON lists: arrays of arrays do not unnest.
INSERT INTO governance.fact
    (fact_id, fact_type, natural_key, platform_run_id, actor_id, source_type, service_release_id, observed_time, body)
SELECT fact_id, fact_type, ARRAY(SELECT jsonb_array_elements_text(natural_key::jsonb)), platform_run_id,
    actor_id, source_type, service_release_id, observed_time, body
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bytea[])
    AS new (fact_id, fact_type, natural_key, platform_run_id, actor_id, source_type, service_release_id, observed_time, body)
ON CONFLICT (fact_id) DO NOTHING
RETURNING fact_id
