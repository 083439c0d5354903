SELECT quarantine_id, batch_id, item, platform_run_id, event_class, event_id, payload_hash, code, detail, object_key, quarantined_at
FROM ig.quarantine
WHERE quarantine_id = $1
ORDER BY quarantined_at, batch_id, item
LIMIT 1
