SELECT group_name, scope, epoch, holder, expires_at, position, watermark FROM runtime.lease ORDER BY group_name, scope
