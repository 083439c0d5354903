-- What the bench put beside the gate's own rows: no batch has such a number.
DELETE FROM ig.dedupe WHERE batch_id < 0
