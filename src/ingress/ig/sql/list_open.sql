-- Batches that nobody is publishing: taken under a dead epoch of this gate, or ambiguous.
SELECT b.day, b.batch_id, b.admitted_at, b.epoch,
    (SELECT max(a.ambiguous_at) FROM ig.batch_ambiguous a WHERE a.day = b.day AND a.batch_id = b.batch_id)
FROM runtime.inflight i JOIN ig.batch b ON b.day = i.day AND b.batch_id = i.batch_id
WHERE b.gate_id = $1 AND (
    b.epoch < $2
    OR EXISTS (SELECT FROM ig.batch_ambiguous a WHERE a.day = b.day AND a.batch_id = b.batch_id)
)
ORDER BY b.batch_id
LIMIT $3
