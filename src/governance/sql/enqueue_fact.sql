INSERT INTO runtime.outbox (stream, partition_key, data)
SELECT $1, partition_key, data FROM unnest($2::text[], $3::bytea[]) AS new (partition_key, data)
