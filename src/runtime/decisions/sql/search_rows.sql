-- Decisions of some batches, in order of the chain. Where a row of an earlier release has no keys, $8 says whether it
-- may be looked for.
SELECT decision.* FROM unnest($2::bigint[], $3::bigint[]) AS batch (after_seq, last_seq)
CROSS JOIN LATERAL (
    SELECT platform_run_id, seq, decision_id, body, evidence, body_hash, evidence_hash, link
    FROM dla.decision
    WHERE platform_run_id = $1 AND seq > batch.after_seq AND seq <= batch.last_seq
        AND ($4::text IS NULL OR outcome = $4)
        AND ($5::boolean IS NULL OR degraded = $5)
        AND ($6::timestamptz IS NULL OR $6 <= ts_utc)
        AND ($7::timestamptz IS NULL OR ts_utc < $7)
        AND coalesce(keys @> $9::bigint[], $8::boolean)
    ORDER BY seq
    LIMIT $10
) AS decision
ORDER BY decision.seq
LIMIT $10
