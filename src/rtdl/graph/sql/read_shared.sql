-- A page of the entities of a kind that at least so many customers (kind 0) use, each with the first of them.
SELECT shared.other_id, shared.customers_count, users.ids, users.since
FROM (
    SELECT other_id, count(*) AS customers_count FROM rtdl.graph_link
    WHERE platform_run_id = $1 AND other_kind = $2 AND lead_kind = 0 AND first_seen <= $3 AND other_id > $4
    GROUP BY other_id
    HAVING count(*) >= $5
    ORDER BY other_id
    LIMIT $6
) AS shared
CROSS JOIN LATERAL (
    SELECT array_agg(lead_id ORDER BY lead_id) AS ids, array_agg(first_seen ORDER BY lead_id) AS since
    FROM (
        SELECT lead_id, first_seen FROM rtdl.graph_link
        WHERE platform_run_id = $1 AND other_kind = $2 AND other_id = shared.other_id
          AND lead_kind = 0 AND first_seen <= $3
        ORDER BY lead_id
        LIMIT $7
    ) AS first
) AS users
ORDER BY shared.other_id
