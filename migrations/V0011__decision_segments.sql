-- Decision segments: a day of the decision log may leave once objects hold every decision of it (L1).

-- The manifest: this row is the truth, an object without a row is an orphan. A segment holds a dense range of one
-- run's chain, decided on one day.
CREATE TABLE dla.decision_segment (
    day              date        NOT NULL,
    platform_run_id  bytea       NOT NULL,
    first_seq        bigint      NOT NULL,
    last_seq         bigint      NOT NULL,
    -- The link of its last decision: the next segment follows from it.
    last_link        bytea       NOT NULL,
    -- From when to when its decisions reach, so that nobody opens it to know.
    first_ts         timestamptz NOT NULL,
    last_ts          timestamptz NOT NULL,
    first_decided_at timestamptz NOT NULL,
    last_decided_at  timestamptz NOT NULL,
    -- Which decisions it may hold: a Bloom filter of their ids, two bytes each.
    id_filter        bytea       NOT NULL CHECK (0 < length(id_filter)),
    object_key       text        NOT NULL,
    object_bytes     bigint      NOT NULL,
    content_hash     bytea       NOT NULL,
    written_at       timestamptz NOT NULL,
    stamps           text        NOT NULL,
    CHECK (0 < first_seq AND first_seq <= last_seq),
    -- Where a decision stands is the first segment that ends at it or later.
    PRIMARY KEY (platform_run_id, last_seq, day)
) PARTITION BY RANGE (day);
-- Its bits look like chance: compressing them would only cost time.
ALTER TABLE dla.decision_segment ALTER COLUMN id_filter SET STORAGE EXTERNAL;

-- A segment that could not be written; the next pass of maintenance writes it.
CREATE TABLE dla.segment_write_failed (
    day             date        NOT NULL,
    platform_run_id bytea       NOT NULL,
    first_seq       bigint      NOT NULL,
    last_seq        bigint      NOT NULL,
    cause           text        NOT NULL,
    failed_at       timestamptz NOT NULL,
    stamps          text        NOT NULL,
    PRIMARY KEY (day, platform_run_id, first_seq, failed_at)
) PARTITION BY RANGE (day);

SELECT governance.declare_partitioned_evidence('dla.decision_segment');
SELECT governance.declare_partitioned_evidence('dla.segment_write_failed');

-- SEGMENTS: the decision segments, whose manifest is kept.
ALTER TABLE governance.retention_table DROP CONSTRAINT retention_table_kept_as_check;
ALTER TABLE governance.retention_table
    ADD CONSTRAINT retention_table_kept_as_check CHECK (kept_as IN ('LEDGER', 'RECEIPTS', 'SEGMENTS', 'MANIFEST'));
UPDATE governance.retention_table SET kept_as = 'SEGMENTS' WHERE parent = 'dla.decision'::regclass;
INSERT INTO governance.retention_table (parent, group_name, ordinal, kept_as) VALUES
    ('dla.segment_write_failed', 'dla', 3, 'LEDGER'),
    ('dla.decision_segment', 'dla', 4, 'MANIFEST');
UPDATE governance.retention_group SET blocked = NULL WHERE group_name = 'dla';

-- Every decision of the day in a segment of the day, and nothing else in one.
CREATE FUNCTION governance.dla_day_obstacles(of_day date)
RETURNS TABLE (code text, detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'SEGMENTS_MISSING', format('%s decisions stand in no segment, such as number %s of run_%s',
        count(*), min(seq), encode((array_agg(platform_run_id ORDER BY seq))[1], 'hex'))
    FROM (
        SELECT platform_run_id, seq FROM dla.decision WHERE day = of_day
        EXCEPT
        SELECT s.platform_run_id, n FROM dla.decision_segment s, generate_series(s.first_seq, s.last_seq) AS n
        WHERE s.day = of_day
    ) AS it
    HAVING 0 < count(*)

    UNION ALL
    SELECT 'SEGMENTS_DIFFER', format('%s numbers stand in segments and are no decisions of the day, such as %s of run_%s',
        count(*), min(seq), encode((array_agg(platform_run_id ORDER BY seq))[1], 'hex'))
    FROM (
        SELECT s.platform_run_id, n AS seq FROM dla.decision_segment s, generate_series(s.first_seq, s.last_seq) AS n
        WHERE s.day = of_day
        EXCEPT ALL
        SELECT platform_run_id, seq FROM dla.decision WHERE day = of_day
    ) AS it
    HAVING 0 < count(*)
$$;

-- As before, and the decision log has a proof of its own.
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
    END IF;
END
$$;

REVOKE ALL ON FUNCTION governance.dla_day_obstacles(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION governance.dla_day_obstacles(date) TO fraudplat_app;
