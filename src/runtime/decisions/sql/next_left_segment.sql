-- The first segment of a run that ends after $2, of the days that have left.
SELECT platform_run_id, day, first_seq, last_seq, last_link, object_key, content_hash, id_filter
FROM dla.decision_segment AS segment
WHERE platform_run_id = $1 AND last_seq > $2
    AND day <= (SELECT max(dropped.day) FROM governance.dropped_day AS dropped WHERE dropped.group_name = 'dla')
    AND EXISTS (SELECT FROM governance.dropped_day AS dropped
                WHERE dropped.group_name = 'dla' AND dropped.day = segment.day)
ORDER BY last_seq
LIMIT 1
