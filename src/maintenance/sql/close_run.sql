INSERT INTO runtime.closed_run (platform_run_id, pruned_at) VALUES ($1, $2) ON CONFLICT DO NOTHING
