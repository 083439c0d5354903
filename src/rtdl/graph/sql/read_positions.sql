-- How far the groups of the projection have come, by shard.
SELECT scope, position FROM runtime.lease WHERE group_name = ANY ($1) ORDER BY scope
