-- Only the attempt that was begun last moves an action.
UPDATE runtime.action AS a
SET state = it.state, failures = it.failures, due_at = it.due_at, claimed_by = NULL
FROM unnest($2::bytea[], $3::bigint[], $4::text[], $5::int[], $6::timestamptz[])
    AS it (action_intent_id, attempt_no, state, failures, due_at)
WHERE a.action_intent_id = it.action_intent_id AND a.attempt_no = it.attempt_no
  AND a.claimed_by = $1 AND a.state = 'OPEN'
RETURNING a.action_intent_id
