-- Batches that the bus did not answer for and that no terminal row has settled since.
SELECT ambiguous.batch_id, min(ambiguous.ambiguous_at), max(batch.events_count), max(ambiguous.cause)
FROM ig.batch_ambiguous AS ambiguous
JOIN ig.batch AS batch ON batch.day = ambiguous.day AND batch.batch_id = ambiguous.batch_id
WHERE NOT EXISTS (SELECT FROM ig.batch_terminal AS terminal
                  WHERE terminal.day = ambiguous.day AND terminal.batch_id = ambiguous.batch_id)
GROUP BY ambiguous.batch_id
ORDER BY ambiguous.batch_id
