-- What a server is, as its sessions start by themselves.
SELECT current_setting('server_version_num')::integer AS version,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       pg_catalog.pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_read_only,
       session_user::text AS login,
       (SELECT pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
        FROM pg_catalog.pg_roles WHERE rolname = $1) AS is_member
