-- A page, the newest first.
SELECT a.action_intent_id, a.requested_at, a.intent_type, a.state, a.attempt_no, a.due_at,
       i.subject_type, i.subject_id, o.result
FROM runtime.action AS a
JOIN al.intent AS i ON i.action_intent_id = a.action_intent_id AND i.day = a.day
LEFT JOIN al.outcome AS o ON o.action_intent_id = a.action_intent_id AND o.day = a.day
WHERE (a.requested_at, a.action_intent_id) < ($1, $2)
  AND ($3::text IS NULL OR a.state = $3) AND ($4::text IS NULL OR a.intent_type = $4)
  AND ($5::text IS NULL OR o.result = $5)
ORDER BY a.requested_at DESC, a.action_intent_id DESC
LIMIT $6
