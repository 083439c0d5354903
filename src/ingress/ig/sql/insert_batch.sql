-- L4: PUBLISH_IN_FLIGHT begins here, under the gate's epoch; no row means that the lease is lost.
-- FOR SHARE makes a takeover wait for this transaction: it finds every batch of the epochs before.
INSERT INTO ig.batch
    (day, batch_id, gate_id, epoch, admitted_at, events_count,
     service_release_id, environment, mode, policy_rev, run_config_digest)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
WHERE EXISTS (
    SELECT FROM runtime.lease WHERE group_name = 'ig' AND scope = $3 AND epoch = $4 FOR SHARE
)
