-- What holds the day's rows afterwards: receipts with their hash, payloads that were refused.
SELECT object_key, content_hash FROM ig.receipt_segment WHERE day = $1
UNION
SELECT object_key, NULL FROM ig.quarantine WHERE day = $1
ORDER BY 1
