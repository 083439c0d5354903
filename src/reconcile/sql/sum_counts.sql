-- L11: what the gate counted, by class; a class that it does not know was quarantined.
SELECT event_class, sum(received)::bigint, sum(admitted)::bigint, sum(duplicate)::bigint, sum(quarantined)::bigint
FROM ig.batch_count WHERE platform_run_id = $1 AND day >= $2
GROUP BY event_class ORDER BY event_class
