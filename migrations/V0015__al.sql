-- The Action Layer: what was asked for, every attempt, how it ended. All rows of an intent carry the day on
-- which it was asked for, so that its outcome is unique and its rows leave together.

CREATE TABLE al.intent (
    day              date        NOT NULL,
    action_intent_id bytea       NOT NULL,
    platform_run_id  bytea       NOT NULL,
    intent_type      text        NOT NULL,
    subject_type     text        NOT NULL,
    subject_id       text        NOT NULL,
    case_id          bytea       NOT NULL,
    -- Null where a case asks.
    decision_id      bytea,
    -- In the transaction of the decision; else in a request over HTTP.
    with_decision    boolean     NOT NULL,
    -- The intent in JSON: what a webhook sends.
    intent           bytea       NOT NULL,
    payload_hash     bytea       NOT NULL,
    requested_at     timestamptz NOT NULL,
    actor_id         text        NOT NULL,
    source_type      text        NOT NULL,
    stamps           text        NOT NULL,
    PRIMARY KEY (action_intent_id, day)
) PARTITION BY RANGE (day);
CREATE INDEX intent_by_run ON al.intent (platform_run_id);

-- An attempt that has no row: its process died, or lost the action, before it could say what came of it.
CREATE TABLE al.attempt (
    day              date        NOT NULL,
    action_intent_id bytea       NOT NULL,
    attempt_no       bigint      NOT NULL,
    executor         text        NOT NULL,
    result           text        NOT NULL CHECK (result IN ('DONE', 'REFUSED', 'FAILED')),
    http_status      int,
    detail           text        NOT NULL,
    started_at       timestamptz NOT NULL,
    ended_at         timestamptz NOT NULL,
    stamps           text        NOT NULL,
    PRIMARY KEY (action_intent_id, attempt_no, day)
) PARTITION BY RANGE (day);

-- The end: one row an intent, for ever.
CREATE TABLE al.outcome (
    day              date        NOT NULL,
    action_intent_id bytea       NOT NULL,
    platform_run_id  bytea       NOT NULL,
    result           text        NOT NULL CHECK (result IN ('SUCCEEDED', 'FAILED')),
    -- The outcome in JSON, as it went to the cases.
    outcome          bytea       NOT NULL,
    finished_at      timestamptz NOT NULL,
    PRIMARY KEY (action_intent_id, day)
) PARTITION BY RANGE (day);

-- Out of attempts, or refused: it waits for an operator.
CREATE TABLE al.dead_letter (
    day              date        NOT NULL,
    action_intent_id bytea       NOT NULL,
    -- The attempt that was its last.
    attempt_no       bigint      NOT NULL,
    detail           text        NOT NULL,
    died_at          timestamptz NOT NULL,
    stamps           text        NOT NULL,
    PRIMARY KEY (action_intent_id, attempt_no, day)
) PARTITION BY RANGE (day);

-- An operator had a dead letter tried again: once for each death.
CREATE TABLE al.requeued (
    day              date        NOT NULL,
    action_intent_id bytea       NOT NULL,
    attempt_no       bigint      NOT NULL,
    reason           text        NOT NULL,
    requeued_at      timestamptz NOT NULL,
    actor_id         text        NOT NULL,
    source_type      text        NOT NULL,
    stamps           text        NOT NULL,
    PRIMARY KEY (action_intent_id, attempt_no, day)
) PARTITION BY RANGE (day);

SELECT governance.declare_partitioned_evidence('al.intent');
SELECT governance.declare_partitioned_evidence('al.attempt');
SELECT governance.declare_partitioned_evidence('al.outcome');
SELECT governance.declare_partitioned_evidence('al.dead_letter');
SELECT governance.declare_partitioned_evidence('al.requeued');

-- What is to be done, and what is known: a row an intent. Mutable, never evidence (L1); it goes after its day
-- has left.
CREATE TABLE runtime.action (
    action_intent_id bytea       NOT NULL PRIMARY KEY,
    day              date        NOT NULL,
    platform_run_id  bytea       NOT NULL,
    intent_type      text        NOT NULL,
    payload_hash     bytea       NOT NULL,
    requested_at     timestamptz NOT NULL,
    state            text        NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'DEAD', 'DONE')),
    -- The attempt that was begun last. It fences: what another attempt found no longer moves the row.
    attempt_no       bigint      NOT NULL DEFAULT 0,
    -- Attempts that failed since it was asked for or requeued.
    failures         int         NOT NULL DEFAULT 0,
    due_at           timestamptz NOT NULL,
    -- Executor and lease epoch of whoever works on it.
    claimed_by       text
) WITH (fillfactor = 80);
CREATE INDEX action_open ON runtime.action (intent_type, due_at) WHERE state = 'OPEN';
CREATE INDEX action_newest ON runtime.action (requested_at, action_intent_id);
CREATE INDEX action_of_run ON runtime.action (platform_run_id, requested_at, action_intent_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON runtime.action TO fraudplat_app;

-- How many a batch of decisions asked for; null: decided before there were actions.
ALTER TABLE dla.decision_count ADD COLUMN escalated int;
ALTER TABLE dla.decision_count ADD COLUMN actions_requested int;

INSERT INTO governance.retention_group (group_name, floor_days, blocked) VALUES ('al', 36, NULL);
INSERT INTO governance.retention_table (parent, group_name, ordinal, kept_as) VALUES
    ('al.intent', 'al', 1, 'LEDGER'),
    ('al.attempt', 'al', 2, 'LEDGER'),
    ('al.outcome', 'al', 3, 'LEDGER'),
    ('al.dead_letter', 'al', 4, 'LEDGER'),
    ('al.requeued', 'al', 5, 'LEDGER');

-- An action that may still be carried out keeps its day.
CREATE FUNCTION governance.al_day_obstacles(of_day date)
RETURNS TABLE (code text, detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'ACTION_OPEN', format('%s actions have no outcome, such as act_%s', count(*),
        encode((array_agg(i.action_intent_id ORDER BY i.action_intent_id))[1], 'hex'))
    FROM al.intent i
    WHERE i.day = of_day
      AND NOT EXISTS (SELECT FROM al.outcome o WHERE o.day = of_day AND o.action_intent_id = i.action_intent_id)
    HAVING 0 < count(*)
$$;

-- As before, and actions have a proof of their own.
CREATE OR REPLACE FUNCTION governance.day_obstacles(of_group text, of_day date, evidence_days int, as_of date)
RETURNS TABLE (code text, detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known governance.retention_group;
    gate_day date;
BEGIN
    SELECT * INTO known FROM governance.retention_group g WHERE g.group_name = of_group;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'UNDECLARED', format('%s is no group of declared evidence', of_group);
        RETURN;
    END IF;
    IF known.blocked IS NOT NULL THEN
        RETURN QUERY SELECT 'BLOCKED', known.blocked;
    END IF;
    -- The server's own clock, so that a wrong one elsewhere drops nothing.
    IF as_of IS NULL OR evidence_days IS NULL OR of_day IS NULL
        OR evidence_days < known.floor_days OR current_date < as_of OR as_of <= of_day + evidence_days
    THEN
        RETURN QUERY SELECT 'TOO_YOUNG', format(
            '%s is not more than %s days before %s (floor %s days, today %s)',
            of_day, evidence_days, as_of, known.floor_days, current_date);
        RETURN;
    END IF;
    IF of_group = 'ig' THEN
        RETURN QUERY SELECT * FROM governance.ig_day_obstacles(of_day);
        RETURN;
    END IF;
    -- A run is reconciled over all of them or not at all; a payment may be decided after midnight.
    FOR gate_day IN SELECT DISTINCT p.day FROM governance.day_partitions('ig') p
                    WHERE p.day IN (of_day, CASE WHEN of_group = 'dla' THEN of_day - 1 END)
                      AND p.kept_as <> 'MANIFEST' LOOP
        RETURN QUERY SELECT 'GATE_FIRST', format('the gate''s rows of %s still stand', gate_day);
        RETURN;
    END LOOP;
    IF of_group = 'dla' THEN
        RETURN QUERY SELECT * FROM governance.dla_day_obstacles(of_day);
    ELSIF of_group = 'al' THEN
        RETURN QUERY SELECT * FROM governance.al_day_obstacles(of_day);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION governance.al_day_obstacles(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION governance.al_day_obstacles(date) TO fraudplat_app;
