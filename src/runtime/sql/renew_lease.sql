UPDATE runtime.lease
SET expires_at = now() + $4::bigint * interval '1 millisecond', watermark = greatest(watermark, $5)
WHERE group_name = $1 AND scope = $2 AND epoch = $3
