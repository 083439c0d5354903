-- The segments of one folder and shard that hold anything in ($4, $5], in order of the sequence
-- number: by length, then text. '' is before every number.
SELECT object_key, object_bytes, content_hash, first_sequence, last_sequence, records_count
FROM rtdl.archive_segment
WHERE folder = $1 AND stream = $2 AND shard_id = $3
  AND (length(last_sequence), last_sequence COLLATE "C") > (length($4::text), $4::text COLLATE "C")
  AND (length(first_sequence), first_sequence COLLATE "C") <= (length($5::text), $5::text COLLATE "C")
ORDER BY length(first_sequence), first_sequence COLLATE "C"
