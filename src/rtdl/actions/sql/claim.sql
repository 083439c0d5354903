-- What is due, the oldest first, for the holder of the executor's lease: each claim is a new attempt, which
-- fences the one before. What this holder has in hand it does not take again.
WITH due AS (
    SELECT next.action_intent_id
    FROM unnest($1::text[]) AS wanted (intent_type)
    CROSS JOIN LATERAL (
        SELECT a.action_intent_id, a.due_at FROM runtime.action AS a
        WHERE a.state = 'OPEN' AND a.intent_type = wanted.intent_type AND a.due_at <= $3
          AND a.claimed_by IS DISTINCT FROM $2
        ORDER BY a.due_at LIMIT $4
    ) AS next
    ORDER BY next.due_at LIMIT $4
), claimed AS (
    UPDATE runtime.action AS a SET claimed_by = $2, attempt_no = a.attempt_no + 1
    FROM due
    WHERE a.action_intent_id = due.action_intent_id
      AND EXISTS (SELECT FROM runtime.lease AS l WHERE l.group_name = $5 AND l.scope = $6 AND l.epoch = $7)
    RETURNING a.action_intent_id, a.day, a.attempt_no, a.failures
)
SELECT c.action_intent_id, c.day, c.attempt_no, c.failures, i.intent
FROM claimed AS c JOIN al.intent AS i ON i.action_intent_id = c.action_intent_id AND i.day = c.day
