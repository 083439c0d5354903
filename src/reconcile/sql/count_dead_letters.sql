SELECT count(DISTINCT d.action_intent_id) FROM al.dead_letter AS d
JOIN al.intent AS i ON i.action_intent_id = d.action_intent_id AND i.day = d.day
WHERE i.platform_run_id = $1 AND i.day >= $2
