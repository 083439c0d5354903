-- Segments of days that have left that may hold a decision: its eight words are set in their filter. The first that is
-- not set ends the look at a filter.
SELECT platform_run_id, day, first_seq, last_seq, last_link, object_key, content_hash, id_filter
FROM dla.decision_segment AS segment
WHERE day <= (SELECT max(dropped.day) FROM governance.dropped_day AS dropped WHERE dropped.group_name = 'dla')
    AND EXISTS (SELECT FROM governance.dropped_day AS dropped
                WHERE dropped.group_name = 'dla' AND dropped.day = segment.day)
    AND get_bit(id_filter, ($1::bigint[])[1] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[2] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[3] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[4] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[5] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[6] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[7] % (8 * length(id_filter))) = 1
    AND get_bit(id_filter, ($1::bigint[])[8] % (8 * length(id_filter))) = 1
ORDER BY day DESC, last_seq DESC
