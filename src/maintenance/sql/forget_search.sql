-- What led to the decisions of a day that leaves.
DELETE FROM runtime.decision_search WHERE $1::text = 'dla' AND day = $2
