-- What was claimed and not delivered may be claimed again after a while.
UPDATE runtime.outbox SET claimed_until = now() + $2::bigint * interval '1 millisecond' WHERE outbox_id = ANY($1)
