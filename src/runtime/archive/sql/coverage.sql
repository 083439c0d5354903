-- L4: a position of the archive's group moves with the manifest rows that it stands for.
SELECT scope, position FROM runtime.lease WHERE group_name = $1 ORDER BY scope
