SELECT state FROM runtime.action WHERE action_intent_id = $1
