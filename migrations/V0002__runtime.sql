-- What runs: leases with positions, the outbox, the bytes of open batches. Mutable, never evidence (L1).

-- One row a consumer: its position commits with its effects (L4). `epoch` fences a former holder.
CREATE TABLE runtime.lease (
    group_name  text        NOT NULL,
    scope       text        NOT NULL,
    epoch       bigint      NOT NULL,
    holder      text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    position    text        NOT NULL,
    -- What the group has surely seen: everything admitted up to this time. Null until first read.
    watermark   timestamptz,
    PRIMARY KEY (group_name, scope)
);

-- What must reach the bus because a transaction said so; deleted on delivery, at least once.
CREATE TABLE runtime.outbox (
    outbox_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream        text        NOT NULL,
    partition_key text        NOT NULL,
    data          bytea       NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);

-- The records of a batch until it is terminal: a republish sends these bytes unchanged (L6).
CREATE TABLE runtime.inflight (
    batch_id bigint PRIMARY KEY,
    day      date   NOT NULL,
    records  bytea  NOT NULL
);
ALTER TABLE runtime.inflight ALTER COLUMN records SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON runtime.lease, runtime.outbox, runtime.inflight TO fraudplat_app;
