-- Shadow bundles: what they would have decided, and how warm the features of a run are.

-- One row a decision and slot. It is evidence of what a bundle would have done; nothing acts on it.
CREATE TABLE dla.shadow_score (
    day                date        NOT NULL,
    platform_run_id    bytea       NOT NULL,
    -- Of the decision, which was made in the same transaction.
    seq                bigint      NOT NULL,
    bundle_slot        text        NOT NULL,
    shadow_score_id    bytea       NOT NULL,
    decision_id        bytea       NOT NULL,
    bundle_digest      bytea       NOT NULL,
    feature_set_digest bytea       NOT NULL,
    outcome            text        NOT NULL,
    score              float8,
    reasons            text[]      NOT NULL,
    -- The entries of the shadow's own lists that the event's entities stood on, in JSON.
    lists              text        NOT NULL,
    -- As a decision's: canonical CBOR, and its hash.
    body               bytea       NOT NULL,
    body_hash          bytea       NOT NULL,
    PRIMARY KEY (platform_run_id, seq, bundle_slot, day),
    UNIQUE (shadow_score_id, day)
) PARTITION BY RANGE (day);
SELECT governance.declare_partitioned_evidence('dla.shadow_score');
-- It leaves with the day of its decision, word for word, in the ledger of the day.
INSERT INTO governance.retention_table (parent, group_name, ordinal, kept_as) VALUES
    ('dla.shadow_score', 'dla', 5, 'LEDGER');

-- What the worker of a run says of its feature sets, in JSON; never evidence.
CREATE TABLE runtime.feature_state (
    platform_run_id bytea       PRIMARY KEY,
    -- Of its lease.
    epoch           bigint      NOT NULL,
    feature_sets    text        NOT NULL,
    said_at         timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON runtime.feature_state TO fraudplat_app;
