-- What holds the rows of a group's day afterwards, with its hash: receipts, decisions; payloads that were refused.
SELECT object_key, content_hash FROM ig.receipt_segment WHERE day = $1 AND $2 = 'ig'
UNION
SELECT object_key, NULL FROM ig.quarantine WHERE day = $1 AND $2 = 'ig'
UNION
SELECT object_key, content_hash FROM dla.decision_segment WHERE day = $1 AND $2 = 'dla'
ORDER BY 1
