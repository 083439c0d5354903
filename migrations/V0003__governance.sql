-- Runs as the Scenario Runner pinned them, and facts. Append-only (L1); kept for ever.

CREATE TABLE governance.run (
    platform_run_id      bytea       PRIMARY KEY,
    scenario_run_id      bytea       NOT NULL,
    manifest_fingerprint bytea       NOT NULL,
    tenant_id            text,
    name                 text        NOT NULL,
    label                text        NOT NULL,
    run_facts_ref        text        NOT NULL,
    run_facts_digest     bytea       NOT NULL,
    -- READY as it was published, in JSON: the tips that the run's consumers start from.
    ready                bytea       NOT NULL,
    created_at           timestamptz NOT NULL,
    actor_id             text        NOT NULL,
    source_type          text        NOT NULL,
    service_release_id   text        NOT NULL
);

CREATE TABLE governance.fact (
    fact_id            bytea       PRIMARY KEY,
    fact_type          text        NOT NULL,
    natural_key        text[]      NOT NULL,
    platform_run_id    bytea,
    actor_id           text        NOT NULL,
    source_type        text        NOT NULL,
    service_release_id text        NOT NULL,
    observed_time      timestamptz NOT NULL,
    -- The whole fact in JSON.
    body               bytea       NOT NULL
);
CREATE INDEX fact_by_run ON governance.fact (platform_run_id, fact_type);
CREATE INDEX fact_by_time ON governance.fact (observed_time);

SELECT governance.declare_evidence('governance.run');
SELECT governance.declare_evidence('governance.fact');
