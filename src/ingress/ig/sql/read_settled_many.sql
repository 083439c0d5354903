-- As read_settled.sql, of several batches.
SELECT b.admitted_at, b.service_release_id, b.environment, b.mode, b.policy_rev, b.run_config_digest,
    t.shard_ids, t.sequence_numbers, b.batch_id
FROM ig.batch b JOIN ig.batch_terminal t USING (day, batch_id)
WHERE b.day = $1 AND b.batch_id = ANY ($2)
