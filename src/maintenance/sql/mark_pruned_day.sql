INSERT INTO runtime.pruned_day (day, pruned_at) VALUES ($1, $2) ON CONFLICT DO NOTHING
