INSERT INTO al.dead_letter (day, action_intent_id, attempt_no, detail, died_at, stamps)
SELECT day, action_intent_id, attempt_no, detail, $1::timestamptz, $2::text
FROM unnest($3::date[], $4::bytea[], $5::bigint[], $6::text[]) AS it (day, action_intent_id, attempt_no, detail)
ON CONFLICT DO NOTHING
