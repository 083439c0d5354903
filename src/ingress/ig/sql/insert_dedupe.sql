-- L5: of racing gates one has the row. Rows come sorted by key, so overlapping batches wait in one
-- order; what conflicts is read in a later statement, which sees what the winner committed.
INSERT INTO ig.dedupe (event_key, payload_hash, batch_id, item, day, horizon_day, platform_run_id)
SELECT event_key, payload_hash, $1, item, $2, horizon_day, platform_run_id
FROM unnest($3::bytea[], $4::bytea[], $5::int[], $6::date[], $7::bytea[])
    AS new (event_key, payload_hash, item, horizon_day, platform_run_id)
ON CONFLICT (event_key) DO NOTHING
RETURNING item
