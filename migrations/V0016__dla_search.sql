-- Decisions by entity, rule, outcome and time. An index, never evidence: it is dropped with the rows that it leads to.

-- What a decision is found by: hashes of its entities and of the rules that fired. Null in rows of earlier releases.
ALTER TABLE dla.decision ADD COLUMN keys bigint[];

-- What a batch of decisions may hold, so that a search opens few of them. A GIN index on the keys doubled the time of
-- an append and stopped it for seconds now and then; a row a key took four times as long.
CREATE TABLE runtime.decision_search (
    platform_run_id bytea       NOT NULL,
    -- Its decisions are those of the run's chain after the one and up to the other.
    last_seq        bigint      NOT NULL,
    after_seq       bigint      NOT NULL,
    day             date        NOT NULL,
    first_ts        timestamptz NOT NULL,
    last_ts         timestamptz NOT NULL,
    -- A Bloom filter of their keys, outcomes and degradations.
    key_filter      bytea       NOT NULL CHECK (0 < length(key_filter)),
    PRIMARY KEY (platform_run_id, last_seq)
);
-- Its bits look like chance: compressing them would only cost time.
ALTER TABLE runtime.decision_search ALTER COLUMN key_filter SET STORAGE EXTERNAL;
CREATE INDEX decision_search_day ON runtime.decision_search (day);
GRANT SELECT, INSERT, UPDATE, DELETE ON runtime.decision_search TO fraudplat_app;

-- Decisions of earlier releases are looked at one by one.
INSERT INTO runtime.decision_search
SELECT DISTINCT ON (platform_run_id, last_seq)
    platform_run_id, last_seq, last_seq - decided, day, '-infinity', 'infinity', '\xff'
FROM dla.decision_count WHERE 0 < decided
ORDER BY platform_run_id, last_seq;
