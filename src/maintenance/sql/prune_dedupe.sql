-- One page of a day's events, and the rows under their keys that may go: of live runs those whose last
-- day is before $5, or, where a run is named, all of a world run's. Null: there was no page.
WITH page AS MATERIALIZED (
    SELECT event_key, batch_id, item FROM ig.event
    WHERE day = $1 AND (batch_id, item) > ($2, $3) AND ($6::bytea IS NULL OR platform_run_id = $6)
    ORDER BY batch_id, item
    LIMIT $4
), gone AS (
    DELETE FROM ig.dedupe AS it USING page
    WHERE it.event_key = page.event_key AND it.day = $1
        AND (it.horizon_day < $5::date OR (it.platform_run_id = $6::bytea AND it.horizon_day IS NULL))
    RETURNING it.event_key
)
SELECT last.batch_id, last.item, (SELECT count(*) FROM gone)
FROM (SELECT 1) AS one
LEFT JOIN (SELECT batch_id, item FROM page ORDER BY batch_id DESC, item DESC LIMIT 1) AS last ON true
