SELECT action_intent_id, payload_hash, requested_at FROM runtime.action WHERE action_intent_id = ANY($1)
