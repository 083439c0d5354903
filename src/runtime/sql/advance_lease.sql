-- L4: 0 rows means that the lease was lost or the position is not the one read: roll back.
UPDATE runtime.lease
SET position = $5, expires_at = now() + $6::bigint * interval '1 millisecond', watermark = greatest(watermark, $7)
WHERE group_name = $1 AND scope = $2 AND epoch = $3 AND position = $4
