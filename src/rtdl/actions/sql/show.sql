SELECT i.intent, i.requested_at, i.actor_id, i.source_type, a.state, a.due_at, a.attempt_no, o.outcome, i.payload_hash
FROM runtime.action AS a
JOIN al.intent AS i ON i.action_intent_id = a.action_intent_id AND i.day = a.day
LEFT JOIN al.outcome AS o ON o.action_intent_id = a.action_intent_id AND o.day = a.day
WHERE a.action_intent_id = $1
