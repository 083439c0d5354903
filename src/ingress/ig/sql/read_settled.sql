-- What the receipts of a batch are made of; no row while it is in flight.
SELECT b.admitted_at, b.service_release_id, b.environment, b.mode, b.policy_rev, b.run_config_digest,
    t.shard_ids, t.sequence_numbers
FROM ig.batch b JOIN ig.batch_terminal t USING (day, batch_id)
WHERE b.day = $1 AND b.batch_id = $2
