-- This process waits for decisions, for so many milliseconds or until it says so again.
INSERT INTO runtime.decision_watch (holder, until)
VALUES ($1, clock_timestamp() + $2::bigint * interval '1 millisecond')
ON CONFLICT (holder) DO UPDATE SET until = EXCLUDED.until
