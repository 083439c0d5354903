-- The entity graph: a projection of traffic and arrival_entities, rebuildable, never evidence.

-- One row a link of a run. Kinds are numbered as in contracts::graph::EntityKind, from 0. It holds only
-- what a record that comes twice cannot change: the first time and the last day.
CREATE TABLE rtdl.graph_link (
    platform_run_id bytea            NOT NULL,
    lead_kind       smallint         NOT NULL,
    lead_id         text COLLATE "C" NOT NULL,
    other_kind      smallint         NOT NULL,
    other_id        text COLLATE "C" NOT NULL,
    first_seen      timestamptz      NOT NULL,
    last_day        date             NOT NULL,
    PRIMARY KEY (platform_run_id, lead_kind, lead_id, other_kind, other_id)
);
CREATE INDEX graph_link_by_other ON rtdl.graph_link (platform_run_id, other_kind, other_id, lead_kind, lead_id);

-- Runs whose links were thrown away and are not all back yet: nobody is answered from them.
CREATE TABLE rtdl.graph_rebuild (
    platform_run_id bytea       NOT NULL PRIMARY KEY,
    begun_at        timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON rtdl.graph_link, rtdl.graph_rebuild TO fraudplat_app;
