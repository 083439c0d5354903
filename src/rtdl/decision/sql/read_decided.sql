-- Decisions that someone waits for, as far as they are made.
SELECT decision_id, body, body_hash, decided_at FROM dla.decision WHERE decision_id = ANY($1)
