-- What operators say of the posture: forced, released. Append-only (L1), kept for ever; what is in force is the
-- newest row of a run, else the newest row of all runs, unless it is a release or has expired.
CREATE TABLE rtdl.posture_force (
    force_no           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The governance fact that tells the same.
    force_id           bytea       NOT NULL UNIQUE,
    -- NULL: all runs.
    platform_run_id    bytea,
    -- NULL: released.
    posture            text,
    reason             text        NOT NULL CHECK (reason <> ''),
    expires_at         timestamptz,
    recorded_at        timestamptz NOT NULL,
    actor_id           text        NOT NULL,
    source_type        text        NOT NULL,
    service_release_id text        NOT NULL,
    CHECK (posture IS NOT NULL OR expires_at IS NULL)
);
CREATE INDEX posture_force_by_run ON rtdl.posture_force (platform_run_id, force_no DESC);

SELECT governance.declare_evidence('rtdl.posture_force');
