-- Batches of a run after $2 and before $3 that may hold what is looked for: every word of $4 is set in their filter.
SELECT after_seq, last_seq FROM runtime.decision_search
WHERE platform_run_id = $1 AND last_seq > $2 AND after_seq < $3
    AND ($5::timestamptz IS NULL OR $5 <= last_ts)
    AND ($6::timestamptz IS NULL OR first_ts < $6)
    AND NOT EXISTS (SELECT FROM unnest($4::bigint[]) AS word
                    WHERE get_bit(key_filter, word % (8 * length(key_filter))) = 0)
ORDER BY last_seq
LIMIT $7
