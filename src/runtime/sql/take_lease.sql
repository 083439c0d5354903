-- L4: takeover bumps the epoch and reads the position in one statement, so a former holder's
-- commit finds another epoch. A live lease of another holder gives no row.
INSERT INTO runtime.lease (group_name, scope, epoch, holder, expires_at, position)
VALUES ($1, $2, 1, $3, now() + $4::bigint * interval '1 millisecond', $5)
ON CONFLICT (group_name, scope) DO UPDATE
SET epoch = lease.epoch + 1, holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.expires_at < now() OR lease.holder = excluded.holder
RETURNING epoch, position, watermark
