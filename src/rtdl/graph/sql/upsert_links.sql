-- A link keeps its first time and its last day. What stands already is not touched, and rows go in by
-- key, so that batches that overlap wait for one another in one order.
INSERT INTO rtdl.graph_link AS link
    (platform_run_id, lead_kind, lead_id, other_kind, other_id, first_seen, last_day)
SELECT platform_run_id, lead_kind, lead_id, other_kind, other_id, first_seen, last_day
FROM unnest($1::bytea[], $2::smallint[], $3::text[], $4::smallint[], $5::text[], $6::timestamptz[], $7::date[])
    AS it (platform_run_id, lead_kind, lead_id, other_kind, other_id, first_seen, last_day)
WHERE NOT EXISTS (
    SELECT FROM rtdl.graph_link AS known
    WHERE known.platform_run_id = it.platform_run_id
      AND known.lead_kind = it.lead_kind AND known.lead_id = it.lead_id
      AND known.other_kind = it.other_kind AND known.other_id = it.other_id
      AND known.first_seen <= it.first_seen AND known.last_day >= it.last_day)
ORDER BY platform_run_id, lead_kind, lead_id COLLATE "C", other_kind, other_id COLLATE "C"
ON CONFLICT (platform_run_id, lead_kind, lead_id, other_kind, other_id) DO UPDATE
SET first_seen = least(link.first_seen, excluded.first_seen),
    last_day = greatest(link.last_day, excluded.last_day)
