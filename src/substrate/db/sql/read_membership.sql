-- Whether the role $2 may work as the role $1; no row where there is no role $2.
SELECT pg_catalog.pg_has_role(oid, $1::text, 'MEMBER') AS is_member
FROM pg_catalog.pg_roles WHERE rolname = $2
