-- What Perl's drivers send, from the general log.

-- == DBD::mysql
\flags found_rows
SELECT 42
SET autocommit=0
SELECT 43
COMMIT
SET autocommit=1
\ping

-- == DBD::MariaDB
\flags found_rows
SET NAMES 'utf8mb4'
-- It means all that is compared, also what the server has as the default of new schemas.
SET character_set_server = 'utf8mb4'
SET collation_connection = 'utf8mb4_unicode_ci'
SET collation_server = 'utf8mb4_unicode_ci'
SELECT 42
SET autocommit=0
SELECT 43
COMMIT
SET autocommit=1

-- == DBIx::Class
\flags found_rows
SET NAMES 'utf8mb4'
-- set_strict_mode
SET SQL_MODE = CONCAT('ANSI,TRADITIONAL,ONLY_FULL_GROUP_BY,', @@sql_mode)
SET SQL_AUTO_IS_NULL = 0
