-- The days on which events of a run were admitted; a day's grace for clocks that differ.
SELECT DISTINCT count.day FROM ig.batch_count AS count
WHERE count.platform_run_id = $1 AND count.admitted > 0
    AND count.day >= (SELECT run.created_at::date - 1 FROM governance.run AS run WHERE run.platform_run_id = $1)
ORDER BY count.day
