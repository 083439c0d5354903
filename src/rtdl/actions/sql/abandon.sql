-- A dead letter is given up: it ends.
WITH dead AS (
    UPDATE runtime.action SET state = 'DONE', claimed_by = NULL
    WHERE action_intent_id = $1 AND state = 'DEAD'
    RETURNING action_intent_id, day, attempt_no
)
SELECT d.day, d.attempt_no, i.intent, t.executor, t.http_status
FROM dead AS d
JOIN al.intent AS i ON i.action_intent_id = d.action_intent_id AND i.day = d.day
LEFT JOIN al.attempt AS t ON t.action_intent_id = d.action_intent_id AND t.attempt_no = d.attempt_no AND t.day = d.day
