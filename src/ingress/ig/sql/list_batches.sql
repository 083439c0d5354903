-- A gate's batches after a place, in order, with whether their receipts can be written.
SELECT b.day, b.batch_id, b.events_count,
    b.events_count = 0 OR EXISTS (SELECT FROM ig.batch_terminal t WHERE t.day = b.day AND t.batch_id = b.batch_id)
FROM ig.batch b
WHERE (b.day, b.batch_id) > ($2, $3) AND b.day >= $2 AND b.gate_id = $1
ORDER BY b.day, b.batch_id
LIMIT $4
