-- The events of a run in some batches of a day, each with its place among those of the run in its batch.
SELECT batch_id, item, event_class, event_id, payload_hash, row_number() OVER (PARTITION BY batch_id ORDER BY item)
FROM ig.event
WHERE day = $1 AND batch_id = ANY ($2) AND platform_run_id = $3
ORDER BY batch_id, item
