SELECT governance.ensure_day_partitions(name::regclass, $2, $2 + 1) FROM unnest($1::text[]) AS name
