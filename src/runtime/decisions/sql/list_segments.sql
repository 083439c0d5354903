SELECT platform_run_id, day, first_seq, last_seq, last_link, object_key, content_hash, id_filter
FROM dla.decision_segment
WHERE platform_run_id = $1 AND last_seq > $2
ORDER BY last_seq
LIMIT $3
