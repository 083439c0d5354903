-- L6: the bytes of an open batch, in the transaction of its event rows.
INSERT INTO runtime.inflight (batch_id, day, records) VALUES ($1, $2, $3)
