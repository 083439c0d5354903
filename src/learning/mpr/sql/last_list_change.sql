-- The last change of one entity on one list.
SELECT nth, change, expires_at, entry_id
FROM mpr.list_change
WHERE list = $1 AND entity = $2 AND value = $3
ORDER BY nth DESC
LIMIT 1;
