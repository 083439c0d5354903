DELETE FROM runtime.outbox WHERE outbox_id = ANY($1)
