-- What stands on a list, or on all, the newest first; expired entries too.
SELECT list, entity, value, entry_id, expires_at, reason, changed_at, actor_id
FROM mpr.list_entry
WHERE $1::text IS NULL OR list = $1
ORDER BY changed_at DESC, entry_id
LIMIT $2;
