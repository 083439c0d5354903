SELECT attempt_no, executor, result, http_status, detail, started_at, ended_at
FROM al.attempt WHERE action_intent_id = $1 ORDER BY attempt_no
