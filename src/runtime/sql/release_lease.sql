UPDATE runtime.lease SET expires_at = now() - interval '1 second'
WHERE group_name = $1 AND scope = $2 AND epoch = $3
