SELECT e.item, e.platform_run_id, r.tenant_id, e.event_class, e.event_id, e.payload_hash
FROM ig.event e JOIN governance.run r USING (platform_run_id)
WHERE e.day = $1 AND e.batch_id = $2
ORDER BY e.item
