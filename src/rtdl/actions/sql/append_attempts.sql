INSERT INTO al.attempt
    (day, action_intent_id, attempt_no, executor, result, http_status, detail, started_at, ended_at, stamps)
SELECT day, action_intent_id, attempt_no, $1::text, result, http_status, detail, started_at, ended_at, $2::text
FROM unnest($3::date[], $4::bytea[], $5::bigint[], $6::text[], $7::int[], $8::text[], $9::timestamptz[],
            $10::timestamptz[])
    AS it (day, action_intent_id, attempt_no, result, http_status, detail, started_at, ended_at)
ON CONFLICT DO NOTHING
