-- L11: batch rows carry their counts; reconciliation balances these, not the process counters.
INSERT INTO ig.batch_count
    (day, batch_id, platform_run_id, event_class, received, admitted, duplicate, quarantined)
SELECT $1, $2, platform_run_id, event_class, received, admitted, duplicate, quarantined
FROM unnest($3::bytea[], $4::text[], $5::int[], $6::int[], $7::int[], $8::int[])
    AS new (platform_run_id, event_class, received, admitted, duplicate, quarantined)
