-- Settles a commit whose reply was lost.
SELECT EXISTS (SELECT FROM ig.batch WHERE day = $1 AND batch_id = $2)
