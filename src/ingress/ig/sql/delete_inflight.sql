-- L6: only with the terminal row, in its transaction.
DELETE FROM runtime.inflight i
WHERE i.batch_id = $2
    AND EXISTS (SELECT FROM ig.batch_terminal t WHERE t.day = $1 AND t.batch_id = $2)
