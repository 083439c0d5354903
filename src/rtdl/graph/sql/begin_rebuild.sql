INSERT INTO rtdl.graph_rebuild (platform_run_id, begun_at) VALUES ($1, $2)
ON CONFLICT (platform_run_id) DO UPDATE SET begun_at = excluded.begun_at
