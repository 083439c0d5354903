-- L5: PUBLISH_AMBIGUOUS, once a batch and epoch.
INSERT INTO ig.batch_ambiguous (day, batch_id, epoch, cause, ambiguous_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
