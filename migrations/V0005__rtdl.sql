-- Projections of the context streams (rebuildable, never evidence), and what the inlets refused.

-- One row a part of an arrival: 1 arrival_event, 2 arrival_entities, 3 flow_anchor.
CREATE TABLE rtdl.frame_part (
    frame_key       bytea       NOT NULL,
    part            smallint    NOT NULL,
    event_id        text        NOT NULL,
    payload_hash    bytea       NOT NULL,
    -- The payload in JSON; its hash is the one beside it.
    payload         bytea       NOT NULL,
    shard_id        text        NOT NULL,
    sequence_number text        NOT NULL,
    admitted_at     timestamptz NOT NULL,
    PRIMARY KEY (frame_key, part)
);

-- Flow to arrival, written from flow_anchor only, in one transaction with part 3.
CREATE TABLE rtdl.flow_binding (
    flow_key     bytea NOT NULL PRIMARY KEY,
    frame_key    bytea NOT NULL,
    payload_hash bytea NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON rtdl.frame_part, rtdl.flow_binding TO fraudplat_app;

-- Records that a consumer's guard or a conflict refused, by their place on the bus.
CREATE TABLE rtdl.inlet_quarantine (
    day             date        NOT NULL,
    group_name      text        NOT NULL,
    stream          text        NOT NULL,
    shard_id        text        NOT NULL,
    sequence_number text        NOT NULL,
    -- What could be read of it; null where nothing could.
    platform_run_id bytea,
    event_class     text,
    event_id        text,
    payload_hash    bytea,
    code            text        NOT NULL,
    detail          text        NOT NULL,
    quarantined_at  timestamptz NOT NULL,
    -- The service's stamps in JSON.
    stamps          text        NOT NULL,
    PRIMARY KEY (day, group_name, stream, shard_id, sequence_number)
) PARTITION BY RANGE (day);

-- What each consumer's transaction counted: seen = written + deduped + quarantined (L11).
CREATE TABLE rtdl.inlet_count (
    day             date        NOT NULL,
    group_name      text        NOT NULL,
    stream          text        NOT NULL,
    shard_id        text        NOT NULL,
    -- The first and last sequence number of the batch.
    first_sequence  text        NOT NULL,
    last_sequence   text        NOT NULL,
    -- Records of no readable run count under 32 zero bytes.
    platform_run_id bytea       NOT NULL,
    seen            int         NOT NULL,
    written         int         NOT NULL,
    deduped         int         NOT NULL,
    quarantined     int         NOT NULL,
    counted_at      timestamptz NOT NULL,
    stamps          text        NOT NULL,
    CHECK (seen = written + deduped + quarantined),
    PRIMARY KEY (day, group_name, stream, shard_id, first_sequence, platform_run_id)
) PARTITION BY RANGE (day);

-- The archive's manifest: this row is the truth, an object without a row is an orphan.
CREATE TABLE rtdl.archive_segment (
    day             date        NOT NULL,
    -- The run's id in text, or `control` or `unreadable` for records that name none.
    folder          text        NOT NULL,
    platform_run_id bytea,
    stream          text        NOT NULL,
    shard_id        text        NOT NULL,
    first_sequence  text        NOT NULL,
    last_sequence   text        NOT NULL,
    records_count   int         NOT NULL,
    object_key      text        NOT NULL,
    object_bytes    bigint      NOT NULL,
    content_hash    bytea       NOT NULL,
    archived_at     timestamptz NOT NULL,
    stamps          text        NOT NULL,
    PRIMARY KEY (day, folder, stream, shard_id, first_sequence)
) PARTITION BY RANGE (day);
CREATE INDEX archive_segment_by_folder ON rtdl.archive_segment (folder, stream, shard_id);

SELECT governance.declare_partitioned_evidence('rtdl.inlet_quarantine');
SELECT governance.declare_partitioned_evidence('rtdl.inlet_count');
SELECT governance.declare_partitioned_evidence('rtdl.archive_segment');
