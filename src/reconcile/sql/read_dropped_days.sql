-- Days that retention has dropped, on which events of the run were admitted or decided: the manifests stay.
SELECT count(*), min(day), max(day) FROM (
    SELECT DISTINCT dropped.day FROM governance.dropped_day AS dropped
    WHERE (dropped.group_name = 'ig' AND EXISTS (
        SELECT FROM ig.receipt_segment AS segment WHERE segment.day = dropped.day AND segment.platform_run_id = $1))
    OR (dropped.group_name = 'dla' AND EXISTS (
        SELECT FROM dla.decision_segment AS segment WHERE segment.day = dropped.day AND segment.platform_run_id = $1))
) AS it
