-- How far each run is decided, and how far that stands in segments.
SELECT decided.scope, decided.position, written.position
FROM runtime.lease AS decided
LEFT JOIN runtime.lease AS written ON written.group_name = $2 AND written.scope = decided.scope
WHERE decided.group_name = $1
ORDER BY decided.scope
