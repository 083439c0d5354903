-- Decisions that someone waits for, as far as they are made, from a day on.
SELECT decision_id, body, body_hash, decided_at FROM dla.decision WHERE decision_id = ANY($1) AND day >= $2
