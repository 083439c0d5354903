-- L4: ADMITTED, once a batch, only under the gate's current epoch. FOR SHARE makes a takeover wait
-- for this transaction, and this statement see a takeover that came first.
INSERT INTO ig.batch_terminal (day, batch_id, epoch, shard_ids, sequence_numbers, terminal_at)
SELECT $1, $2, $4, $5, $6, $7
WHERE EXISTS (
    SELECT FROM runtime.lease WHERE group_name = 'ig' AND scope = $3 AND epoch = $4 FOR SHARE
)
ON CONFLICT (day, batch_id) DO NOTHING
