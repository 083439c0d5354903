-- Waits until the batches are committed that may not have seen who waits: each holds the row of its lease.
SELECT FROM runtime.lease
WHERE group_name = $1 AND expires_at > now() - interval '1 minute'
ORDER BY scope
FOR SHARE
