-- What each context group has surely seen, per shard; a shard that nobody has read yet gives none.
SELECT group_name, scope, watermark FROM runtime.lease WHERE group_name = ANY($1)
