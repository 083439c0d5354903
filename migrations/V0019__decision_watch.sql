-- Who waits for decisions that other processes make. Mutable, never evidence (L1). Unlogged: a crash of the server
-- breaks the connection of whoever waits, which then says so again.
CREATE UNLOGGED TABLE runtime.decision_watch (
    holder text        PRIMARY KEY,
    until  timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON runtime.decision_watch TO fraudplat_app;

-- Tells those who wait in other processes than `teller` that it has decided, if its transaction commits; says whether
-- there are any. Nobody is told for nothing: a transaction that tells commits under a lock of the whole server.
-- VOLATILE, so that it sees who has come since its statement began. The caller holds the row of its lease: who
-- comes later than this looks waits for that row, and then finds the decisions.
CREATE FUNCTION runtime.tell_decided(teller text) RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM runtime.decision_watch WHERE holder <> teller AND until > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('fraudplat_decided', '');
    RETURN true;
END
$$;
