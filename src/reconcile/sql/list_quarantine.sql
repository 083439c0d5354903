SELECT object_key, item, event_class, event_id, payload_hash FROM ig.quarantine
WHERE platform_run_id = $1 AND day >= $2
ORDER BY object_key, item
