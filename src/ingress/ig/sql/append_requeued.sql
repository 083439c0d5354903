INSERT INTO ig.quarantine_requeued
    (day, quarantine_id, requeued_at, platform_run_id, result, code, detail, actor_id, source_type, service_release_id,
     reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
