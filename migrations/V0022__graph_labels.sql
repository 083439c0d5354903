-- Whose payments labels speak of, for the graph's questions: rebuildable, never evidence.

-- Whose each payment was. Until it is known, a label of the payment tells of nobody.
CREATE TABLE rtdl.graph_payment (
    platform_run_id bytea            NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    customer_id     text COLLATE "C" NOT NULL,
    PRIMARY KEY (platform_run_id, event_id)
);

-- What was asserted of a payment: of what was observed by a time, the latest holds.
CREATE TABLE rtdl.graph_label (
    platform_run_id    bytea            NOT NULL,
    event_id           text COLLATE "C" NOT NULL,
    observed_time      timestamptz      NOT NULL,
    label_assertion_id text COLLATE "C" NOT NULL,
    is_fraud           boolean          NOT NULL,
    PRIMARY KEY (platform_run_id, event_id, observed_time, label_assertion_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON rtdl.graph_payment, rtdl.graph_label TO fraudplat_app;
