-- A page of context, in the order of its key, with whether a row may go: its run is drained ($4), or it is of
-- a live run ($5) and older than $6.
SELECT it.frame_key, it.part, it.is_gone, it.platform_run_id, CASE WHEN it.is_gone AND it.part = 3 THEN it.payload END
FROM (
    SELECT frame_key, part, platform_run_id, payload,
        coalesce(platform_run_id = ANY ($4::bytea[]), false)
            OR coalesce(platform_run_id = ANY ($5::bytea[]) AND admitted_at < $6, false) AS is_gone
    FROM rtdl.frame_part
    WHERE (frame_key, part) > ($1, $2)
    ORDER BY frame_key, part
    LIMIT $3
) AS it
ORDER BY it.frame_key, it.part
