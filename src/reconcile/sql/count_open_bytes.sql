-- Bytes of a batch that has its terminal row should be gone with it (L6).
SELECT inflight.batch_id FROM runtime.inflight AS inflight
WHERE EXISTS (SELECT FROM ig.batch_terminal AS terminal WHERE terminal.batch_id = inflight.batch_id)
ORDER BY inflight.batch_id
