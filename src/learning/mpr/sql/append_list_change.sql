-- L2: the nth change of an entity has one id, so of two at once one finds the other's.
INSERT INTO mpr.list_change (entry_id, list, entity, value, nth, change, expires_at, reason, changed_at,
                             actor_id, source_type, service_release_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING
RETURNING entry_id;
