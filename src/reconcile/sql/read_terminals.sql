SELECT batch_id, shard_ids, sequence_numbers FROM ig.batch_terminal
WHERE day BETWEEN $1 AND $3 AND (day, batch_id) >= ($1, $2) AND (day, batch_id) <= ($3, $4)
