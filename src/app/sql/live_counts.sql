-- What was decided of a run after a place in its chain.
SELECT coalesce(max(seq), $2)::bigint,
       count(*) FILTER (WHERE outcome = 'APPROVE'), count(*) FILTER (WHERE outcome = 'STEP_UP'),
       count(*) FILTER (WHERE outcome = 'REVIEW'), count(*) FILTER (WHERE outcome = 'DECLINE'),
       count(*) FILTER (WHERE degraded)
FROM dla.decision WHERE platform_run_id = $1 AND seq > $2
