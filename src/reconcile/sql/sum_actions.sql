-- What decisions asked for as their batches counted it, and what stands of it.
SELECT asked.escalated, asked.actions_requested, intent.of_decisions, intent.n,
       intent.succeeded + intent.failed + intent.open + intent.dead, intent.succeeded + intent.failed
FROM (
    SELECT coalesce(sum(escalated), 0)::bigint AS escalated,
        coalesce(sum(actions_requested), 0)::bigint AS actions_requested
    FROM dla.decision_count WHERE platform_run_id = $1 AND day >= $2
) AS asked, (
    SELECT count(*) AS n,
        count(*) FILTER (WHERE i.with_decision) AS of_decisions,
        count(*) FILTER (WHERE o.result = 'SUCCEEDED' AND a.state = 'DONE') AS succeeded,
        count(*) FILTER (WHERE o.result = 'FAILED' AND a.state = 'DONE') AS failed,
        count(*) FILTER (WHERE o.result IS NULL AND a.state = 'OPEN') AS open,
        count(*) FILTER (WHERE o.result IS NULL AND a.state = 'DEAD') AS dead
    FROM al.intent AS i
    LEFT JOIN al.outcome AS o ON o.action_intent_id = i.action_intent_id AND o.day = i.day
    LEFT JOIN runtime.action AS a ON a.action_intent_id = i.action_intent_id
    WHERE i.platform_run_id = $1 AND i.day >= $2
) AS intent
