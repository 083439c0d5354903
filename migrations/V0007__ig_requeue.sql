-- What an operator submitted to the gate again. The quarantine row stays; this is a row a try, with
-- the gate's verdict on it.
CREATE TABLE ig.quarantine_requeued (
    day                date        NOT NULL,
    quarantine_id      bytea       NOT NULL,
    requeued_at        timestamptz NOT NULL,
    platform_run_id    bytea       NOT NULL,
    result             text        NOT NULL,
    code               text,
    detail             text,
    actor_id           text        NOT NULL,
    source_type        text        NOT NULL,
    service_release_id text        NOT NULL,
    PRIMARY KEY (day, quarantine_id, requeued_at)
) PARTITION BY RANGE (day);

SELECT governance.declare_partitioned_evidence('ig.quarantine_requeued');
