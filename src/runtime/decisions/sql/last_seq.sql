-- Where all days of a run have left, only the manifest knows.
SELECT greatest(
    (SELECT coalesce(max(seq), 0) FROM dla.decision WHERE platform_run_id = $1),
    (SELECT coalesce(max(last_seq), 0) FROM dla.decision_segment WHERE platform_run_id = $1))
