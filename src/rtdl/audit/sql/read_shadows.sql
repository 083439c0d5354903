SELECT seq, bundle_slot, shadow_score_id, decision_id, bundle_digest, feature_set_digest, outcome, score, reasons, lists,
       body, body_hash
FROM dla.shadow_score
WHERE platform_run_id = $1 AND seq = ANY ($2)
ORDER BY seq, bundle_slot
