-- Days of a group that are older than $2, with why none of them may leave, if so.
SELECT DISTINCT p.day, g.blocked
FROM governance.day_partitions($1) AS p JOIN governance.retention_group AS g ON g.group_name = $1
WHERE p.kept_as <> 'MANIFEST' AND p.day < $2
ORDER BY p.day
