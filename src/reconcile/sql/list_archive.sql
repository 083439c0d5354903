SELECT stream, records_count, object_key, content_hash FROM rtdl.archive_segment
WHERE platform_run_id = $1 AND day >= $2
ORDER BY stream, shard_id, length(first_sequence), first_sequence COLLATE "C"
