-- One word of an operator; the fact of the same id tells it to the control bus.
INSERT INTO rtdl.posture_force
    (force_id, platform_run_id, posture, reason, expires_at, recorded_at, actor_id, source_type, service_release_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
