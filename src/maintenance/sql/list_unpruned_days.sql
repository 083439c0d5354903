-- Days of admission before $1 whose live events have not left the dedupe index yet.
SELECT p.day FROM governance.day_partitions('ig') AS p
WHERE p.parent = 'ig.event'::regclass AND p.day < $1
    AND NOT EXISTS (SELECT FROM runtime.pruned_day AS it WHERE it.day = p.day)
ORDER BY p.day
