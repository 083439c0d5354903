-- The events that one receipt segment must hold. A batch and its rows share a day; a segment may
-- pass midnight.
SELECT event.day, event.batch_id, event.item, event.event_class, event.event_id, event.payload_hash
FROM ig.event AS event
JOIN ig.batch AS batch ON batch.day = event.day AND batch.batch_id = event.batch_id
WHERE event.day BETWEEN $2 - 1 AND $2 + 1 AND event.batch_id BETWEEN $4 AND $5
  AND event.platform_run_id = $1 AND batch.gate_id = $3
ORDER BY event.day, event.batch_id, event.item
