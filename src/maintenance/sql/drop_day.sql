SELECT it.proof, encode(sha256(convert_to(it.proof, 'UTF8')), 'hex')
FROM (
    SELECT governance.drop_day_partitions($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10, $11) AS proof
) AS it
