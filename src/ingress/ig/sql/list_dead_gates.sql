-- Other gates that left batches open and let their lease expire.
SELECT DISTINCT b.gate_id
FROM runtime.inflight i JOIN ig.batch b ON b.day = i.day AND b.batch_id = i.batch_id
    JOIN runtime.lease l ON l.group_name = 'ig' AND l.scope = b.gate_id
WHERE b.gate_id <> $1 AND l.expires_at < now()
