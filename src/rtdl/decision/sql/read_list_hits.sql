-- Of the entities asked for, those that stand on a list now: the last change of each is an addition
-- that has not expired.
SELECT asked.n, entry.entry_id, entry.expires_at
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (list, entity, value, n)
CROSS JOIN LATERAL (
    SELECT change, entry_id, expires_at
    FROM mpr.list_change AS it
    WHERE it.list = asked.list AND it.entity = asked.entity AND it.value = asked.value
    ORDER BY it.nth DESC
    LIMIT 1
) AS entry
WHERE entry.change = 'ADDED' AND (entry.expires_at IS NULL OR entry.expires_at > $4);
