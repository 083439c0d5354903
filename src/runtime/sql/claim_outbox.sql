-- A queue: claimed rows are invisible to other relays until the claim lapses.
UPDATE runtime.outbox SET claimed_until = now() + $2::bigint * interval '1 millisecond'
WHERE outbox_id IN (
    SELECT outbox_id FROM runtime.outbox
    WHERE claimed_until < now()
    ORDER BY outbox_id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING outbox_id, stream, partition_key, data
