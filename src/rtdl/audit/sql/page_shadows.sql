SELECT seq, bundle_slot, shadow_score_id, decision_id, bundle_digest, feature_set_digest, outcome, score, reasons, lists,
       body, body_hash
FROM dla.shadow_score
WHERE platform_run_id = $1 AND (seq, bundle_slot) > ($2, $3) AND ($4::text IS NULL OR bundle_slot = $4)
ORDER BY seq, bundle_slot
LIMIT $5
