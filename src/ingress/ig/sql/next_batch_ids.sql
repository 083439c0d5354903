-- A block of batch ids: they only have to grow within a gate.
SELECT nextval('ig.batch_id_seq') FROM generate_series(1, $1::int)
