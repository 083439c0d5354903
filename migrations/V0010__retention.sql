-- Retention (L1): whole day partitions leave by a maintenance identity, after proof, and a row says so.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'fraudplat_maintenance') THEN
        -- Without a login: a private server's owner acts as it; elsewhere the operator grants it to one.
        CREATE ROLE fraudplat_maintenance NOLOGIN;
    END IF;
    IF NOT pg_catalog.pg_has_role('fraudplat_maintenance', 'fraudplat_app', 'MEMBER') THEN
        GRANT fraudplat_app TO fraudplat_maintenance;
    END IF;
EXCEPTION
    -- Roles belong to the server: another database's migration was faster.
    WHEN duplicate_object OR unique_violation OR internal_error THEN NULL;
END
$$;

-- What leaves together, and never before: the dedupe horizon (35 days) and the day that an event may be
-- ahead of its admission.
CREATE TABLE governance.retention_group (
    group_name text PRIMARY KEY,
    floor_days int  NOT NULL CHECK (36 <= floor_days),
    -- Why none of its days may leave yet; null: they may.
    blocked    text
);
INSERT INTO governance.retention_group (group_name, floor_days, blocked) VALUES
    ('ig', 36, NULL),
    ('rtdl', 36, NULL),
    ('dla', 36, 'decisions are not written as segments yet, so these rows are their only copy');

CREATE TABLE governance.retention_table (
    parent     regclass PRIMARY KEY REFERENCES governance.partitioned_evidence (parent),
    group_name text     NOT NULL REFERENCES governance.retention_group (group_name),
    -- The order in which the tables are locked: that of the gate's own transaction.
    ordinal    int      NOT NULL,
    -- Where its rows are found afterwards: LEDGER, an object of the day with every row as it was;
    -- RECEIPTS, the receipt segments and the archive; MANIFEST, here: they are kept in one partition.
    kept_as    text     NOT NULL CHECK (kept_as IN ('LEDGER', 'RECEIPTS', 'MANIFEST'))
);
INSERT INTO governance.retention_table (parent, group_name, ordinal, kept_as) VALUES
    ('ig.batch', 'ig', 1, 'LEDGER'),
    ('ig.batch_count', 'ig', 2, 'LEDGER'),
    ('ig.event', 'ig', 3, 'RECEIPTS'),
    ('ig.quarantine', 'ig', 4, 'LEDGER'),
    ('ig.batch_terminal', 'ig', 5, 'RECEIPTS'),
    ('ig.batch_ambiguous', 'ig', 6, 'LEDGER'),
    ('ig.quarantine_requeued', 'ig', 7, 'LEDGER'),
    ('ig.receipt_write_failed', 'ig', 8, 'LEDGER'),
    ('ig.receipt_segment', 'ig', 9, 'MANIFEST'),
    ('rtdl.inlet_quarantine', 'rtdl', 1, 'LEDGER'),
    ('rtdl.inlet_count', 'rtdl', 2, 'LEDGER'),
    ('rtdl.archive_segment', 'rtdl', 3, 'MANIFEST'),
    ('dla.decision', 'dla', 1, 'LEDGER'),
    ('dla.decision_count', 'dla', 2, 'LEDGER');
GRANT SELECT ON governance.retention_group, governance.retention_table TO fraudplat_app;

-- The proofs: one row a group and day. Only governance.drop_day_partitions writes it.
CREATE TABLE governance.dropped_day (
    group_name         text        NOT NULL,
    day                date        NOT NULL,
    -- Which partitions with how many rows, how each is kept, and why it was allowed; JSON as text.
    proof              text        NOT NULL,
    proof_sha256       bytea       NOT NULL,
    -- The rows that no other object holds; null where there were none.
    ledger_key         text,
    ledger_hash        bytea,
    dropped_at         timestamptz NOT NULL,
    actor_id           text        NOT NULL,
    source_type        text        NOT NULL,
    service_release_id text        NOT NULL,
    PRIMARY KEY (group_name, day, proof_sha256)
);
SELECT governance.declare_evidence('governance.dropped_day');
REVOKE INSERT ON governance.dropped_day FROM fraudplat_app;

-- How far the rows of a manifest are kept in one partition: before this day there is no other.
ALTER TABLE governance.partitioned_evidence ADD COLUMN kept_before date;

-- As before, but a day whose rows are kept in one partition is not missing.
CREATE OR REPLACE FUNCTION governance.missing_days(schema_name name, table_name name, from_day date, to_day date)
RETURNS date[]
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(from_day + n ORDER BY n), '{}')
    FROM generate_series(0, to_day - from_day) AS n
    WHERE NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
        WHERE s.nspname = schema_name
          AND c.relname = table_name || to_char(from_day + n, '_YYYYMMDD'))
      AND NOT EXISTS (
        SELECT FROM governance.partitioned_evidence e
        JOIN pg_class c ON c.oid = e.parent JOIN pg_namespace s ON s.oid = c.relnamespace
        WHERE s.nspname = schema_name AND c.relname = table_name AND from_day + n < e.kept_before)
$$;

-- The day partitions of a group that still stand.
CREATE FUNCTION governance.day_partitions(of_group text)
RETURNS TABLE (day date, parent regclass, partition regclass, ordinal int, kept_as text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD'), t.parent, c.oid::regclass, t.ordinal, t.kept_as
    FROM governance.retention_table t
    JOIN pg_inherits i ON i.inhparent = t.parent
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE t.group_name = of_group AND c.relname ~ '_[0-9]{8}$'
$$;

-- Every row of a day that only a ledger will hold, in an order of its own, as JSON.
CREATE FUNCTION governance.ledger_rows(of_group text, of_day date)
RETURNS TABLE (parent text, line text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    it record;
BEGIN
    FOR it IN SELECT * FROM governance.day_partitions(of_group) p
              WHERE p.day = of_day AND p.kept_as = 'LEDGER' ORDER BY p.ordinal LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, jsonb_build_object(''table'', %L, ''row'', to_jsonb(t))::text FROM %s AS t ORDER BY t',
            it.parent, it.parent, it.partition);
    END LOOP;
END
$$;

-- Why a day of a group may not leave; no row: it may. The one place that knows what the proof is.
CREATE FUNCTION governance.day_obstacles(of_group text, of_day date, evidence_days int, as_of date)
RETURNS TABLE (code text, detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known governance.retention_group;
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
    ELSIF EXISTS (SELECT FROM governance.day_partitions('ig') p WHERE p.day = of_day AND p.kept_as <> 'MANIFEST') THEN
        -- A run is reconciled over all of them or not at all.
        RETURN QUERY SELECT 'GATE_FIRST', format('the gate''s rows of %s still stand', of_day);
    END IF;
END
$$;

CREATE FUNCTION governance.ig_day_obstacles(of_day date)
RETURNS TABLE (code text, detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'BATCH_OPEN', format('%s batches have no terminal row, such as %s', count(*), min(b.batch_id))
    FROM ig.batch b
    WHERE b.day = of_day AND b.events_count > 0
      AND NOT EXISTS (SELECT FROM ig.batch_terminal t WHERE t.day = of_day AND t.batch_id = b.batch_id)
    HAVING 0 < count(*)

    UNION ALL
    SELECT 'RECEIPTS_MISSING', format('of %s runs the segments do not hold as many receipts as events were admitted, '
        'such as run_%s: %s of %s', count(*), min(encode(platform_run_id, 'hex')),
        (array_agg(coalesce(s.n, 0) ORDER BY encode(platform_run_id, 'hex')))[1],
        (array_agg(coalesce(e.n, 0) ORDER BY encode(platform_run_id, 'hex')))[1])
    FROM (SELECT platform_run_id, count(*) AS n FROM ig.event WHERE day = of_day GROUP BY 1) e
    FULL JOIN (
        SELECT platform_run_id, sum(receipts_count) AS n FROM ig.receipt_segment WHERE day = of_day GROUP BY 1
    ) s USING (platform_run_id)
    WHERE e.n IS DISTINCT FROM s.n
    HAVING 0 < count(*)

    -- L4: the position of the archive's group moves with the manifest rows that it stands for.
    UNION ALL
    SELECT 'ARCHIVE_BEHIND', format('the archive has not come to every event in %s', string_agg(needed.scope, ', ' ORDER BY needed.scope))
    FROM (
        SELECT c.stream || '/' || u.shard_id AS scope, max(lpad(u.sequence_number, 128, '0') COLLATE "C") AS wanted
        FROM ig.batch_terminal t
        CROSS JOIN LATERAL unnest(t.shard_ids, t.sequence_numbers) WITH ORDINALITY AS u (shard_id, sequence_number, n)
        JOIN ig.event e ON e.day = of_day AND e.batch_id = t.batch_id AND e.item = u.n - 1
        JOIN (VALUES ('arrival_event', 'fp.bus.context.arrival_events.v1'),
                     ('arrival_entities', 'fp.bus.context.arrival_entities.v1'),
                     ('flow_anchor', 'fp.bus.context.flow_anchor.fraud.v1'),
                     ('traffic', 'fp.bus.traffic.fraud.v1')) AS c (event_class, stream)
            ON c.event_class = e.event_class
        WHERE t.day = of_day
        GROUP BY 1
    ) AS needed
    LEFT JOIN runtime.lease l ON l.group_name = 'archive' AND l.scope = needed.scope
    WHERE l.position IS NULL OR l.position = 'start' OR lpad(l.position, 128, '0') COLLATE "C" < needed.wanted
    HAVING 0 < count(*)

    -- A repeat that is known is answered with the first receipt, which is made of the day's rows.
    UNION ALL
    SELECT 'DEDUPE_HELD', format('repeats of its events are still known, such as %s of run_%s',
        min(e.event_id), min(encode(e.platform_run_id, 'hex')))
    FROM (
        SELECT e.event_id, e.platform_run_id
        FROM ig.event e JOIN ig.dedupe d ON d.event_key = e.event_key
        WHERE e.day = of_day AND d.day = of_day LIMIT 1
    ) AS e
    HAVING 0 < count(*)
$$;

-- Drops the day partitions of one group and leaves the proof, or raises FP002 and changes nothing. It
-- runs as the owner, so it trusts nothing of its caller but the ledger: that it is durable. Returns the
-- proof.
CREATE FUNCTION governance.drop_day_partitions(
    of_group text, of_day date, evidence_days int, as_of date,
    ledger_key text, ledger_hash bytea, ledger_rows jsonb,
    actor_id text, source_type text, service_release_id text, dropped_at timestamptz
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    it record;
    obstacle record;
    n_rows bigint;
    tables jsonb := '{}';
    proof text;
BEGIN
    -- Nothing is added to the day from here on; its readers are not disturbed while the proof is looked for.
    FOR it IN SELECT * FROM governance.day_partitions(of_group) p WHERE p.day = of_day ORDER BY p.ordinal LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE MODE', it.partition);
    END LOOP;
    SELECT * INTO obstacle FROM governance.day_obstacles(of_group, of_day, evidence_days, as_of) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%: %', obstacle.code, obstacle.detail USING ERRCODE = 'FP002';
    END IF;
    FOR it IN SELECT * FROM governance.day_partitions(of_group) p
              WHERE p.day = of_day AND p.kept_as <> 'MANIFEST' ORDER BY p.ordinal LOOP
        EXECUTE format('SELECT count(*) FROM %s', it.partition) INTO n_rows;
        IF it.kept_as = 'LEDGER' AND n_rows <> coalesce((ledger_rows ->> it.parent::text)::bigint, 0) THEN
            RAISE EXCEPTION 'LEDGER_DIFFERS: % has % rows of %, the ledger %',
                    it.parent, n_rows, of_day, coalesce((ledger_rows ->> it.parent::text)::bigint, 0)
                USING ERRCODE = 'FP002';
        END IF;
        IF it.kept_as = 'LEDGER' AND 0 < n_rows AND (ledger_key IS NULL OR ledger_hash IS NULL) THEN
            RAISE EXCEPTION 'LEDGER_DIFFERS: the rows of % need a ledger', it.parent USING ERRCODE = 'FP002';
        END IF;
        tables := tables || jsonb_build_object(it.parent::text,
            jsonb_build_object('partition', it.partition::text, 'rows', n_rows, 'kept_as', it.kept_as));
    END LOOP;
    IF tables = '{}' THEN
        RAISE EXCEPTION 'NOTHING_STANDS: % has no partition of %', of_group, of_day USING ERRCODE = 'FP002';
    END IF;
    proof := jsonb_build_object(
        'group', of_group, 'day', of_day, 'tables', tables, 'as_of', as_of, 'evidence_days', evidence_days,
        'floor_days', (SELECT g.floor_days FROM governance.retention_group g WHERE g.group_name = of_group),
        'ledger_key', ledger_key, 'ledger_hash', encode(ledger_hash, 'hex'))::text;
    INSERT INTO governance.dropped_day VALUES (
        of_group, of_day, proof, sha256(convert_to(proof, 'UTF8')), ledger_key, ledger_hash, dropped_at,
        actor_id, source_type, service_release_id);
    -- In the order of the gate's own transaction, so that the two cannot wait for one another.
    FOR it IN SELECT * FROM governance.retention_table t WHERE t.group_name = of_group ORDER BY t.ordinal LOOP
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', it.parent);
    END LOOP;
    FOR it IN SELECT * FROM governance.day_partitions(of_group) p
              WHERE p.day = of_day AND p.kept_as <> 'MANIFEST' ORDER BY p.ordinal LOOP
        EXECUTE format('DROP TABLE %s', it.partition);
    END LOOP;
    FOR it IN SELECT * FROM governance.retention_table t
              WHERE t.group_name = of_group AND t.kept_as = 'MANIFEST' ORDER BY t.ordinal LOOP
        PERFORM governance.keep_manifest(it.parent, of_group, of_day);
    END LOOP;
    RETURN proof;
END
$$;

-- Moves the rows of a manifest's oldest days, up to the given one, into its one partition of kept rows.
-- A day whose other rows still stand stays, and so do those after it: a partition has no holes.
CREATE FUNCTION governance.keep_manifest(manifest regclass, of_group text, up_to date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    it record;
    schema_name name;
    table_name name;
    kept text;
    is_new boolean;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = manifest;
    kept := format('%I.%I', schema_name, table_name || '_kept');
    FOR it IN SELECT p.day, p.partition FROM governance.day_partitions(of_group) p
              WHERE p.parent = manifest AND p.day <= up_to ORDER BY p.day LOOP
        EXIT WHEN EXISTS (SELECT FROM governance.day_partitions(of_group) p
                          WHERE p.day = it.day AND p.kept_as <> 'MANIFEST');
        is_new := to_regclass(kept) IS NULL;
        IF is_new THEN
            EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS
                            INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)', kept, manifest);
        ELSE
            EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', manifest, kept);
        END IF;
        EXECUTE format('INSERT INTO %s SELECT * FROM %s', kept, it.partition);
        EXECUTE format('DROP TABLE %s', it.partition);
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (MINVALUE) TO (%L)',
                       manifest, kept, it.day + 1);
        IF is_new THEN
            PERFORM governance.declare_evidence(kept::regclass);
        END IF;
        UPDATE governance.partitioned_evidence e SET kept_before = it.day + 1 WHERE e.parent = manifest;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION
    governance.day_partitions(text), governance.day_obstacles(text, date, int, date),
    governance.ig_day_obstacles(date), governance.ledger_rows(text, date),
    governance.keep_manifest(regclass, text, date),
    governance.drop_day_partitions(text, date, int, date, text, bytea, jsonb, text, text, text, timestamptz)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    governance.day_partitions(text), governance.day_obstacles(text, date, int, date), governance.ig_day_obstacles(date),
    governance.ledger_rows(text, date)
TO fraudplat_app;
GRANT EXECUTE ON FUNCTION
    governance.drop_day_partitions(text, date, int, date, text, bytea, jsonb, text, text, text, timestamptz)
TO fraudplat_maintenance;

-- What maintenance has done and need not do again; never evidence.
CREATE TABLE runtime.pruned_day (
    -- Every live event of this day of admission has left the dedupe index.
    day       date        PRIMARY KEY,
    pruned_at timestamptz NOT NULL
);
CREATE TABLE runtime.closed_run (
    platform_run_id bytea       PRIMARY KEY,
    -- Its events have left the dedupe index.
    pruned_at       timestamptz NOT NULL,
    -- All of its traffic is decided, so nobody looks for more; null: not yet.
    drained_at      timestamptz,
    -- Its context frames and the snapshots of its memory are gone; null: not yet.
    emptied_at      timestamptz
);
GRANT SELECT, INSERT, UPDATE, DELETE ON runtime.pruned_day, runtime.closed_run TO fraudplat_app;

-- Whose context a frame is. Null in rows of earlier releases, which therefore stay.
ALTER TABLE rtdl.frame_part ADD COLUMN platform_run_id bytea;

-- Why an operator submitted an event again. Null in rows of earlier releases.
ALTER TABLE ig.quarantine_requeued ADD COLUMN reason text;
