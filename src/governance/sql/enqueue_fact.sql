INSERT INTO runtime.outbox (stream, partition_key, data) VALUES ($1, $2, $3)
