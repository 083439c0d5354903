INSERT INTO runtime.outbox (stream, partition_key, data)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
