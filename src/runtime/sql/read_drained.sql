-- The shards that a group has read to their end.
SELECT scope FROM runtime.lease WHERE group_name = $1 AND watermark >= $2
