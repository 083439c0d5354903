-- What prune_dedupe.sql would take of a whole day.
SELECT count(*) FROM ig.event AS event JOIN ig.dedupe AS it ON it.event_key = event.event_key
WHERE event.day = $1 AND it.day = $1 AND ($3::bytea IS NULL OR event.platform_run_id = $3)
    AND (it.horizon_day < $2::date OR (it.platform_run_id = $3::bytea AND it.horizon_day IS NULL))
