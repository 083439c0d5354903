-- The lists that policies look entities up in. Changes are only ever added; what is in force is the
-- last change of each entity on each list.

CREATE TABLE mpr.list_change (
    entry_id           bytea       PRIMARY KEY,
    list               text        NOT NULL,
    -- Which entity of an event: customer_id, card_id, …
    entity             text        NOT NULL,
    value              text        NOT NULL,
    -- Counts the changes of this entity on this list, from 1.
    nth                bigint      NOT NULL CHECK (nth >= 1),
    change             text        NOT NULL CHECK (change IN ('ADDED', 'REMOVED')),
    expires_at         timestamptz CHECK (expires_at IS NULL OR change = 'ADDED'),
    reason             text        NOT NULL,
    changed_at         timestamptz NOT NULL,
    actor_id           text        NOT NULL,
    source_type        text        NOT NULL,
    service_release_id text        NOT NULL,
    UNIQUE (list, entity, value, nth)
);

SELECT governance.declare_evidence('mpr.list_change');

CREATE VIEW mpr.list_entry AS
SELECT last.*
FROM (
    SELECT DISTINCT ON (list, entity, value) *
    FROM mpr.list_change
    ORDER BY list, entity, value, nth DESC
) AS last
WHERE last.change = 'ADDED';

GRANT SELECT ON mpr.list_entry TO fraudplat_app;
