SELECT count(*) FROM runtime.outbox
