-- The batches of a day that admitted events of a run, of one class or of all, from $2 on, with how many.
SELECT count.batch_id, sum(count.admitted)::bigint FROM ig.batch_count AS count
WHERE count.day = $1 AND count.batch_id >= $2 AND count.platform_run_id = $3 AND count.admitted > 0
    AND ($4::text IS NULL OR count.event_class = $4)
    AND ($5::boolean IS NULL OR $5 = EXISTS (
        SELECT FROM ig.batch_terminal AS terminal WHERE terminal.day = $1 AND terminal.batch_id = count.batch_id
    ))
GROUP BY count.batch_id
ORDER BY count.batch_id
LIMIT $6
