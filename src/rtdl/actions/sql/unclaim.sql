-- Claimed and not begun: another may take it at once.
UPDATE runtime.action SET claimed_by = NULL WHERE action_intent_id = ANY($1) AND claimed_by = $2
