INSERT INTO rtdl.inlet_quarantine
    (day, group_name, stream, shard_id, sequence_number, platform_run_id, event_id, code, detail, quarantined_at, stamps)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
