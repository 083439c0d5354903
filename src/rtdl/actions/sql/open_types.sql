-- The types that have something open, each found by one step of the index, however much is open.
WITH RECURSIVE types AS (
    (SELECT intent_type FROM runtime.action WHERE state = 'OPEN' ORDER BY intent_type LIMIT 1)
    UNION ALL
    SELECT (SELECT a.intent_type FROM runtime.action AS a
            WHERE a.state = 'OPEN' AND a.intent_type > types.intent_type ORDER BY a.intent_type LIMIT 1)
    FROM types WHERE types.intent_type IS NOT NULL
)
SELECT intent_type FROM types WHERE intent_type IS NOT NULL
