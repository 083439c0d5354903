COPY dla.shadow_score
    (day, platform_run_id, seq, bundle_slot, shadow_score_id, decision_id, bundle_digest, feature_set_digest, outcome,
     score, reasons, lists, body, body_hash)
FROM STDIN BINARY
