-- Admitted events of one class and day, a page in order of the key. One day at a time: over several, the
-- planner takes a comparison of (day, batch_id, item) for one that hardly any row passes, and sorts all
-- of them for every page.
SELECT day, batch_id, item, event_key, payload_hash FROM ig.event
WHERE platform_run_id = $1 AND event_class = $2 AND day = $3 AND (batch_id, item) > ($4, $5)
ORDER BY batch_id, item
LIMIT $6
