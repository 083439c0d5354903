-- What a session of the application is in the end: a pooler between may have dropped its settings,
-- and another may have granted what migrations did not (L1).
SELECT current_user::text AS role,
       current_setting('synchronous_commit') AS synchronous_commit,
       (SELECT setting::bigint FROM pg_catalog.pg_settings
        WHERE name = 'statement_timeout') AS statement_ms_max,
       (SELECT pg_catalog.min(tgrelid::regclass::text) FROM pg_catalog.pg_trigger
        WHERE tgname = 'l1_append_only'
          AND (pg_catalog.has_table_privilege(tgrelid, 'UPDATE')
            OR pg_catalog.has_table_privilege(tgrelid, 'DELETE')
            OR pg_catalog.has_table_privilege(tgrelid, 'TRUNCATE'))) AS changeable
