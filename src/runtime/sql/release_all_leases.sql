-- For the sole owner of a data directory: whoever held these is dead, as the lock proves.
UPDATE runtime.lease SET expires_at = now() - interval '1 second' WHERE expires_at >= now()
