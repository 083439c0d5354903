-- What sessions of this database are at, as far as they do not wait: for a lock, a disk, a client.
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND wait_event IS NULL AND pid <> pg_backend_pid()
