-- L1: one end an intent.
INSERT INTO al.outcome (day, action_intent_id, platform_run_id, result, outcome, finished_at)
SELECT * FROM unnest($1::date[], $2::bytea[], $3::bytea[], $4::text[], $5::bytea[], $6::timestamptz[])
ON CONFLICT DO NOTHING
