-- The statement that lets a login work as the application; a statement cannot take a name as a value.
SELECT pg_catalog.format('GRANT %I TO %I', $1::text, $2::text) AS statement
