-- The ground: one schema per owner, the application's role, and the guards that make evidence
-- append-only (L1) for every role, the tables' owner included.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'fraudplat_app') THEN
        -- On a managed server the operator gives it a login, or grants it to one.
        CREATE ROLE fraudplat_app NOLOGIN;
    END IF;
EXCEPTION
    -- Roles belong to the server: another database's migration was faster.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

CREATE SCHEMA IF NOT EXISTS governance;
CREATE SCHEMA ig;
CREATE SCHEMA rtdl;
CREATE SCHEMA dla;
CREATE SCHEMA al;
CREATE SCHEMA cm;
CREATE SCHEMA ls;
CREATE SCHEMA mpr;
CREATE SCHEMA learning;
CREATE SCHEMA runtime;

GRANT USAGE ON SCHEMA ig, rtdl, dla, al, cm, ls, mpr, learning, governance, runtime TO fraudplat_app;
GRANT SELECT ON governance.schema_history TO fraudplat_app;

-- L1: what a guard does. FP001 is its own SQLSTATE, so that a caller can tell a broken law.
CREATE FUNCTION governance.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'L1: % of %.% is refused, evidence is only ever added',
            TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'FP001', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END
$$;

-- Guards one table. A statement trigger fires only on the table that a statement names, so each
-- partition needs its own. ALWAYS: a session in replica mode must not slip through.
CREATE FUNCTION governance.guard(evidence regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER l1_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
         FOR EACH STATEMENT EXECUTE FUNCTION governance.refuse_change()', evidence);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER l1_append_only', evidence);
END
$$;

-- Migrations call this for an evidence table without partitions.
CREATE FUNCTION governance.declare_evidence(evidence regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM governance.guard(evidence);
    EXECUTE format('GRANT SELECT, INSERT ON %s TO fraudplat_app', evidence);
END
$$;

-- The only tables that the application may have partitions made of.
CREATE TABLE governance.partitioned_evidence (
    parent regclass PRIMARY KEY
);
GRANT SELECT ON governance.partitioned_evidence TO fraudplat_app;

-- Migrations call this for an evidence table declared PARTITION BY RANGE (day), day a date.
CREATE FUNCTION governance.declare_partitioned_evidence(evidence regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM pg_partitioned_table p
        JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
        WHERE p.partrelid = evidence AND p.partstrat = 'r' AND p.partnatts = 1
          AND a.attname = 'day' AND a.atttypid = 'date'::regtype;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not PARTITION BY RANGE (day), day a date', evidence;
    END IF;
    IF 54 < (SELECT length(relname) FROM pg_class WHERE oid = evidence) THEN
        RAISE EXCEPTION 'the name of % leaves no room for _YYYYMMDD', evidence;
    END IF;
    PERFORM governance.declare_evidence(evidence);
    INSERT INTO governance.partitioned_evidence (parent) VALUES (evidence);
END
$$;

-- Makes the partitions of the days from_day..=to_day that are missing, guarded and granted, and
-- returns how many it made. It runs as the owner, so it trusts nothing of its caller: the table
-- must be declared, the names are resolved here, the range has a limit.
CREATE FUNCTION governance.ensure_day_partitions(evidence regclass, from_day date, to_day date)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A year and some: a wrong date must not make a million tables.
    days_max CONSTANT integer := 400;
    schema_name name;
    table_name name;
    day date;
    partition text;
    missing date[];
    made integer := 0;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name
        FROM governance.partitioned_evidence e
        JOIN pg_class c ON c.oid = e.parent
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE e.parent = evidence;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not declared in governance.partitioned_evidence', evidence
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF from_day IS NULL OR to_day IS NULL OR to_day < from_day OR days_max <= to_day - from_day THEN
        RAISE EXCEPTION 'the days %..% are not a range of 1 to % days', from_day, to_day, days_max
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- The common call finds all there and takes no lock. A second look follows under the lock: in
    -- READ COMMITTED it sees what the holder before has committed.
    missing := governance.missing_days(schema_name, table_name, from_day, to_day);
    IF missing = '{}' THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(
        hashtextextended('fraudplat/partitions/' || schema_name || '.' || table_name, 0));
    missing := governance.missing_days(schema_name, table_name, from_day, to_day);

    FOREACH day IN ARRAY missing LOOP
        partition := format('%I.%I', schema_name, table_name || to_char(day, '_YYYYMMDD'));
        -- Made apart and then attached: CREATE … PARTITION OF would lock out every reader and
        -- writer of the table, ATTACH does not.
        EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS
                        INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)',
                       partition, evidence);
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                       evidence, partition, day, day + 1);
        PERFORM governance.declare_evidence(partition::regclass);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

CREATE FUNCTION governance.missing_days(schema_name name, table_name name, from_day date, to_day date)
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
$$;

REVOKE ALL ON FUNCTION
    governance.refuse_change(), governance.guard(regclass), governance.declare_evidence(regclass),
    governance.declare_partitioned_evidence(regclass),
    governance.ensure_day_partitions(regclass, date, date),
    governance.missing_days(name, name, date, date)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION governance.ensure_day_partitions(regclass, date, date) TO fraudplat_app;
