-- What the drivers and frameworks of Node send, from the general log. mysql2 and mysql themselves send nothing: their
-- character set goes with the login.

-- == mysql2, pooled with a reset
\flags found_rows ignore_space multi_results
SELECT 42
\prepared SELECT 43
-- resetOnRelease
\reset

-- == MariaDB's connector
\flags multi_results session_track
set @@idle_transaction_timeout=1000
SET NAMES utf8mb4
SET time_zone='+00:00'
SET @a=1
SELECT 42
\ping
\probe @a

-- == Sequelize
\flags found_rows ignore_space multi_results
SET time_zone = '+02:00'
SELECT VERSION() as `version`
SELECT 1+1 AS result
SET TRANSACTION ISOLATION LEVEL READ COMMITTED
START TRANSACTION
SELECT 42
COMMIT

-- == Sequelize on MariaDB's connector
\flags multi_results session_track
SET NAMES utf8mb4
SET time_zone='+02:00'
SET time_zone = '+02:00'
SELECT 1+1 AS result

-- == TypeORM
\flags found_rows ignore_space multi_results
SELECT version() as version
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
START TRANSACTION
SELECT 43
COMMIT

-- == TypeORM and others that count on a mode
\flags found_rows ignore_space multi_results
SET SESSION sql_mode = 'STRICT_ALL_TABLES'
SET SESSION group_concat_max_len = 4294967295

-- == Knex with afterCreate
\flags found_rows ignore_space multi_results
select version() as version
SET time_zone='+00:00'
SET SESSION sql_mode='STRICT_TRANS_TABLES', SESSION wait_timeout=28000

-- == Prisma
-- Its engine is in Rust: mysql_async, by COM_STMT_PREPARE.
\flags found_rows multi_statements multi_results
SELECT @@max_allowed_packet,@@wait_timeout
SELECT @@socket
\prepared SELECT @@GLOBAL.version version
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
BEGIN
\prepared SELECT 42
COMMIT
