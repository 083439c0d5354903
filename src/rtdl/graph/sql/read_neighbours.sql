-- A page of what an entity is linked with, whichever end of the link it is.
SELECT kind, id, first_seen, last_day FROM (
    SELECT other_kind AS kind, other_id AS id, first_seen, last_day FROM rtdl.graph_link
    WHERE platform_run_id = $1 AND lead_kind = $2 AND lead_id = $3
      AND first_seen <= $4 AND (other_kind, other_id) > ($5::smallint, $6::text)
    UNION ALL
    SELECT lead_kind, lead_id, first_seen, last_day FROM rtdl.graph_link
    WHERE platform_run_id = $1 AND other_kind = $2 AND other_id = $3
      AND first_seen <= $4 AND (lead_kind, lead_id) > ($5::smallint, $6::text)
) AS neighbour
WHERE $7::smallint IS NULL OR kind = $7::smallint
ORDER BY kind, id
LIMIT $8
