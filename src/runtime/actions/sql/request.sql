-- L2: a known intent is no row; whether it is the same one the caller asks in a later statement.
WITH given AS (
    SELECT * FROM unnest($6::bytea[], $7::bytea[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bytea[],
                         $13::bytea[], $14::bytea[])
        AS it (action_intent_id, platform_run_id, intent_type, subject_type, subject_id, case_id, decision_id,
               intent, payload_hash)
), fresh AS (
    INSERT INTO runtime.action
        (action_intent_id, day, platform_run_id, intent_type, payload_hash, requested_at, due_at)
    SELECT action_intent_id, $1::date, platform_run_id, intent_type, payload_hash, $2::timestamptz, $2
    FROM given ORDER BY action_intent_id
    ON CONFLICT (action_intent_id) DO NOTHING
    RETURNING action_intent_id
)
INSERT INTO al.intent
    (day, action_intent_id, platform_run_id, intent_type, subject_type, subject_id, case_id, decision_id, intent,
     payload_hash, requested_at, actor_id, source_type, stamps, with_decision)
SELECT $1, action_intent_id, platform_run_id, intent_type, subject_type, subject_id, case_id, decision_id, intent,
       payload_hash, $2, $3::text, $4::text, $5::text, $15::boolean
FROM given JOIN fresh USING (action_intent_id)
RETURNING action_intent_id
