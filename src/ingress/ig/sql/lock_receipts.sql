-- One backfill of a gate's receipts at a time.
SELECT pg_advisory_xact_lock(hashtextextended('fraudplat/receipts/' || $1, 0))
