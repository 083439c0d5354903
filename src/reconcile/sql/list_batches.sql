-- The batches that admitted events of the run, how many, and their terminal rows.
SELECT batch.day, batch.batch_id, batch.gate_id, count.admitted, coalesce(terminal.n_rows, 0)
FROM (
    SELECT day, batch_id, sum(admitted)::bigint AS admitted
    FROM ig.batch_count WHERE platform_run_id = $1 AND day >= $2
    GROUP BY day, batch_id HAVING sum(admitted) > 0
) AS count
JOIN ig.batch AS batch ON batch.day = count.day AND batch.batch_id = count.batch_id
LEFT JOIN (
    SELECT batch_id, count(*) AS n_rows FROM ig.batch_terminal WHERE day >= $2 GROUP BY batch_id
) AS terminal ON terminal.batch_id = batch.batch_id
ORDER BY batch.gate_id, batch.batch_id
