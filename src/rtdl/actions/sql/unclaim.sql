-- Claimed and not begun: no attempt, and another may take it at once.
UPDATE runtime.action SET claimed_by = NULL, attempt_no = attempt_no - 1
WHERE action_intent_id = ANY($1) AND claimed_by = $2
