-- Admitted events of one class, a page in order of the key.
SELECT day, batch_id, item, event_key, payload_hash FROM ig.event
WHERE platform_run_id = $1 AND event_class = $2 AND day >= $3 AND (day, batch_id, item) > ($3, $4, $5)
ORDER BY day, batch_id, item
LIMIT $6
