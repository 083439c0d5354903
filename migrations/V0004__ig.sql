-- The gate: what was admitted, in which batch, where it stands on the bus, what was refused.
-- Evidence is partitioned by `day`, the UTC day of admission; all rows of a batch share its day.

-- Who was first with an event id. Pruned after the dedupe horizon, never evidence.
CREATE TABLE ig.dedupe (
    event_key       bytea  PRIMARY KEY,
    payload_hash    bytea  NOT NULL,
    batch_id        bigint NOT NULL,
    item            int    NOT NULL,
    day             date   NOT NULL,
    -- The last day on which a repeat may come; null for world runs, pruned after their end.
    horizon_day     date,
    platform_run_id bytea  NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ig.dedupe TO fraudplat_app;

CREATE SEQUENCE ig.batch_id_seq;
GRANT USAGE ON SEQUENCE ig.batch_id_seq TO fraudplat_app;

-- A batch enters PUBLISH_IN_FLIGHT by its row; where it went is its terminal row.
CREATE TABLE ig.batch (
    day                date        NOT NULL,
    batch_id           bigint      NOT NULL,
    gate_id            text        NOT NULL,
    epoch              bigint      NOT NULL,
    admitted_at        timestamptz NOT NULL,
    -- Events that this batch admits; 0 where all were repeats or refused.
    events_count       int         NOT NULL,
    service_release_id text        NOT NULL,
    environment        text        NOT NULL,
    mode               text        NOT NULL,
    policy_rev         text        NOT NULL,
    run_config_digest  bytea       NOT NULL,
    PRIMARY KEY (day, batch_id)
) PARTITION BY RANGE (day);

-- One row a batch, run and class: received = admitted + duplicate + quarantined (L11).
CREATE TABLE ig.batch_count (
    day             date   NOT NULL,
    batch_id        bigint NOT NULL,
    platform_run_id bytea  NOT NULL,
    event_class     text   NOT NULL,
    received        int    NOT NULL,
    admitted        int    NOT NULL,
    duplicate       int    NOT NULL,
    quarantined     int    NOT NULL,
    PRIMARY KEY (day, batch_id, platform_run_id, event_class)
) PARTITION BY RANGE (day);

-- The events that a batch admits; `item` counts from 0 and indexes the arrays of the terminal row.
-- It has a gap, and the arrays a null, where the store turned out to know the event already.
CREATE TABLE ig.event (
    day             date        NOT NULL,
    batch_id        bigint      NOT NULL,
    item            int         NOT NULL,
    event_key       bytea       NOT NULL,
    platform_run_id bytea       NOT NULL,
    event_class     text        NOT NULL,
    event_id        text        NOT NULL,
    payload_hash    bytea       NOT NULL,
    ts_utc          timestamptz NOT NULL,
    PRIMARY KEY (day, batch_id, item)
) PARTITION BY RANGE (day);

-- ADMITTED: every event of the batch is on the bus. Written once, under the current epoch.
CREATE TABLE ig.batch_terminal (
    day              date        NOT NULL,
    batch_id         bigint      NOT NULL,
    epoch            bigint      NOT NULL,
    shard_ids        text[]      NOT NULL,
    sequence_numbers text[]      NOT NULL,
    terminal_at      timestamptz NOT NULL,
    PRIMARY KEY (day, batch_id)
) PARTITION BY RANGE (day);

-- PUBLISH_AMBIGUOUS: the bus did not say; the resolver looks (L5).
CREATE TABLE ig.batch_ambiguous (
    day          date        NOT NULL,
    batch_id     bigint      NOT NULL,
    epoch        bigint      NOT NULL,
    cause        text        NOT NULL,
    ambiguous_at timestamptz NOT NULL,
    PRIMARY KEY (day, batch_id, epoch)
) PARTITION BY RANGE (day);

-- Received and refused; `item` is the event's place in its batch, and the line of the quarantine
-- object that names it holds the payload.
CREATE TABLE ig.quarantine (
    day             date        NOT NULL,
    quarantine_id   bytea       NOT NULL,
    batch_id        bigint      NOT NULL,
    item            int         NOT NULL,
    platform_run_id bytea       NOT NULL,
    event_class     text        NOT NULL,
    event_id        text        NOT NULL,
    payload_hash    bytea,
    code            text        NOT NULL,
    detail          text        NOT NULL,
    object_key      text        NOT NULL,
    quarantined_at  timestamptz NOT NULL,
    PRIMARY KEY (day, quarantine_id, batch_id, item)
) PARTITION BY RANGE (day);
CREATE INDEX quarantine_by_run ON ig.quarantine (platform_run_id, quarantined_at);

-- Receipts as segments: this row is the truth, an object without a row is an orphan.
CREATE TABLE ig.receipt_segment (
    day             date        NOT NULL,
    platform_run_id bytea       NOT NULL,
    gate_id         text        NOT NULL,
    first_batch_id  bigint      NOT NULL,
    last_batch_id   bigint      NOT NULL,
    receipts_count  int         NOT NULL,
    object_key      text        NOT NULL,
    content_hash    bytea       NOT NULL,
    written_at      timestamptz NOT NULL,
    PRIMARY KEY (day, platform_run_id, gate_id, first_batch_id)
) PARTITION BY RANGE (day);

-- A segment that could not be written; a backfill repairs it.
CREATE TABLE ig.receipt_write_failed (
    day            date        NOT NULL,
    gate_id        text        NOT NULL,
    first_batch_id bigint      NOT NULL,
    last_batch_id  bigint      NOT NULL,
    cause          text        NOT NULL,
    failed_at      timestamptz NOT NULL,
    PRIMARY KEY (day, gate_id, first_batch_id, failed_at)
) PARTITION BY RANGE (day);

SELECT governance.declare_partitioned_evidence('ig.batch');
SELECT governance.declare_partitioned_evidence('ig.batch_count');
SELECT governance.declare_partitioned_evidence('ig.event');
SELECT governance.declare_partitioned_evidence('ig.batch_terminal');
SELECT governance.declare_partitioned_evidence('ig.batch_ambiguous');
SELECT governance.declare_partitioned_evidence('ig.quarantine');
SELECT governance.declare_partitioned_evidence('ig.receipt_segment');
SELECT governance.declare_partitioned_evidence('ig.receipt_write_failed');
