-- The links of several entities, of each at most so many: by the entity's place, then kind and id.
SELECT node.at, link.kind, link.id, link.first_seen
FROM unnest($2::int[], $3::smallint[], $4::text[]) AS node (at, kind, id)
CROSS JOIN LATERAL (
    SELECT kind, id, first_seen FROM (
        SELECT other_kind AS kind, other_id AS id, first_seen FROM rtdl.graph_link
        WHERE platform_run_id = $1 AND lead_kind = node.kind AND lead_id = node.id AND first_seen <= $5
        UNION ALL
        SELECT lead_kind, lead_id, first_seen FROM rtdl.graph_link
        WHERE platform_run_id = $1 AND other_kind = node.kind AND other_id = node.id AND first_seen <= $5
    ) AS either
    LIMIT $6
) AS link
ORDER BY node.at, link.kind, link.id
