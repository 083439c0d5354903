SELECT governance.ensure_day_partitions(name::regclass, $2::date, $2::date + 1) FROM unnest($1::text[]) AS name
