SELECT attempt_no, reason, requeued_at, actor_id, source_type
FROM al.requeued WHERE action_intent_id = $1 ORDER BY attempt_no
