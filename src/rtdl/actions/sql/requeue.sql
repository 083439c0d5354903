-- A dead letter is tried again from its first failure on; who had it done, and why, is appended.
WITH dead AS (
    UPDATE runtime.action SET state = 'OPEN', failures = 0, due_at = $2, claimed_by = NULL
    WHERE action_intent_id = $1 AND state = 'DEAD'
    RETURNING action_intent_id, day, attempt_no
)
INSERT INTO al.requeued (day, action_intent_id, attempt_no, reason, requeued_at, actor_id, source_type, stamps)
SELECT day, action_intent_id, attempt_no, $3::text, $2, $4::text, $5::text, $6::text FROM dead
RETURNING attempt_no
