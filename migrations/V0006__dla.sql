-- The decision log: one row a decision, one hash chain a run.

CREATE TABLE dla.decision (
    day             date        NOT NULL,
    platform_run_id bytea       NOT NULL,
    -- Dense from 1 within the run.
    seq             bigint      NOT NULL,
    decision_id     bytea       NOT NULL,
    event_id        text        NOT NULL,
    ts_utc          timestamptz NOT NULL,
    outcome         text        NOT NULL,
    degraded        boolean     NOT NULL,
    -- Canonical CBOR.
    body            bytea       NOT NULL,
    evidence        bytea       NOT NULL,
    body_hash       bytea       NOT NULL,
    evidence_hash   bytea       NOT NULL,
    link            bytea       NOT NULL,
    decided_at      timestamptz NOT NULL,
    PRIMARY KEY (day, platform_run_id, seq),
    UNIQUE (day, decision_id)
) PARTITION BY RANGE (day);

-- What each decision batch counted: seen = decided + repeated + quarantined + other_runs (L11).
CREATE TABLE dla.decision_count (
    day             date        NOT NULL,
    platform_run_id bytea       NOT NULL,
    -- The chain's seq after the batch and the batch's number under its epoch.
    last_seq        bigint      NOT NULL,
    epoch           bigint      NOT NULL,
    batch_no        bigint      NOT NULL,
    seen            int         NOT NULL,
    decided         int         NOT NULL,
    repeated        int         NOT NULL,
    quarantined     int         NOT NULL,
    other_runs      int         NOT NULL,
    counted_at      timestamptz NOT NULL,
    PRIMARY KEY (day, platform_run_id, epoch, batch_no)
) PARTITION BY RANGE (day);

SELECT governance.declare_partitioned_evidence('dla.decision');
SELECT governance.declare_partitioned_evidence('dla.decision_count');
