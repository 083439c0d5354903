-- Which of these customers are known for fraud at a time: of how many payments the latest label that was
-- observed by then says fraud, and since when that is known of the first of them.
SELECT payment.customer_id, count(*), min(latest.observed_time)
FROM (
    SELECT DISTINCT ON (event_id) event_id, observed_time, is_fraud FROM rtdl.graph_label
    WHERE platform_run_id = $1 AND observed_time <= $2
    ORDER BY event_id, observed_time DESC, label_assertion_id DESC
) AS latest
JOIN rtdl.graph_payment AS payment ON payment.platform_run_id = $1 AND payment.event_id = latest.event_id
WHERE latest.is_fraud AND payment.customer_id = ANY ($3)
GROUP BY payment.customer_id
