-- What a run's worker says of its feature sets, unless a later one has said it.
INSERT INTO runtime.feature_state (platform_run_id, epoch, feature_sets, said_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (platform_run_id) DO UPDATE
    SET epoch = excluded.epoch, feature_sets = excluded.feature_sets, said_at = excluded.said_at
    WHERE feature_state.epoch <= excluded.epoch
