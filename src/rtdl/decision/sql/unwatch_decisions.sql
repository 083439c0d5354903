-- Nobody waits here any more; nor where nobody has said so for an hour.
DELETE FROM runtime.decision_watch WHERE holder = $1 OR until < clock_timestamp() - interval '1 hour'
