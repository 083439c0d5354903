-- The process that serves this session, and whether it is on this machine.
SELECT pg_backend_pid(),
       coalesce(inet_server_addr() <<= inet '127.0.0.0/8' OR inet_server_addr() = inet '::1', true)
