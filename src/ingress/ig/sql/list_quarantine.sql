SELECT quarantine_id, batch_id, item, platform_run_id, event_class, event_id, payload_hash, code, detail, object_key, quarantined_at
FROM ig.quarantine
WHERE platform_run_id = $1 AND ($2::text IS NULL OR code = $2)
    AND ($4::timestamptz IS NULL OR (quarantined_at, batch_id, item) < ($4, $5, $6))
ORDER BY quarantined_at DESC, batch_id DESC, item DESC
LIMIT $3
