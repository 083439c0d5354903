-- The same, with every commit of these groups held off until this transaction ends.
SELECT scope, position FROM runtime.lease WHERE group_name = ANY ($1) ORDER BY scope FOR UPDATE
