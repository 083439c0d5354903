-- The last statement of a batch: it tells those who wait elsewhere, with the batch's own commit.
INSERT INTO dla.decision_count
    (day, platform_run_id, last_seq, epoch, batch_no, seen, decided, repeated, quarantined, other_runs, counted_at,
     escalated, actions_requested)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING CASE WHEN 0 < decided THEN runtime.tell_decided($14) ELSE false END
