SELECT epoch, position FROM runtime.lease WHERE group_name = $1 AND scope = $2
