-- The tries of one quarantined event, in order.
SELECT requeued_at, result, code, detail, actor_id, reason
FROM ig.quarantine_requeued WHERE quarantine_id = $1
ORDER BY requeued_at
