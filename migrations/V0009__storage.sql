-- Bodies, evidence and frames are compressed when they are long. LZ4 takes a sixth of the CPU time of
-- the built-in method (samples of `bench loop`); a server built without it keeps the built-in one.
DO $$
BEGIN
    ALTER TABLE dla.decision ALTER COLUMN body SET COMPRESSION lz4;
    ALTER TABLE dla.decision ALTER COLUMN evidence SET COMPRESSION lz4;
    ALTER TABLE rtdl.frame_part ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this server has no LZ4: columns keep the built-in compression';
END
$$;

-- Every batch of the gate is written here and soon deleted. Vacuumed as other tables are, at a throttled
-- pace after a fifth has changed, it grew to gigabytes in minutes.
ALTER TABLE runtime.inflight SET (
    toast.autovacuum_vacuum_threshold = 10000,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_cost_delay = 0
);
