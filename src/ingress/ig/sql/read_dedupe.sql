-- L3: who was first under these keys, and with which payload.
SELECT event_key, payload_hash, day, batch_id, item FROM ig.dedupe WHERE event_key = ANY($1)
