-- The events that one receipt segment must hold: a batch, its rows and its segment share a day.
SELECT event.day, event.batch_id, event.item, event.event_class, event.event_id, event.payload_hash
FROM ig.event AS event
JOIN ig.batch AS batch ON batch.day = event.day AND batch.batch_id = event.batch_id
WHERE event.day = $2 AND event.batch_id BETWEEN $4 AND $5
  AND event.platform_run_id = $1 AND batch.gate_id = $3
ORDER BY event.batch_id, event.item
