-- The names behind short keys: only asked when something does not balance.
SELECT event_class || '/' || event_id FROM ig.event
WHERE platform_run_id = $1 AND day >= $2 AND substring(event_key FROM 1 FOR 16) = ANY ($3)
ORDER BY 1
