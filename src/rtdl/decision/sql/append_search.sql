INSERT INTO runtime.decision_search (platform_run_id, last_seq, after_seq, day, first_ts, last_ts, key_filter)
VALUES ($1, $2, $3, $4, $5, $6, $7)
