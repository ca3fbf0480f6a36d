-- What Ruby's frameworks send. Rails sends one SET with everything in it; mysql2 and trilogy themselves send nothing.

-- == Rails on mysql2, from the general log
\flags found_rows multi_statements multi_results
-- Strict, no id 0 by chance, no `WHERE id IS NULL` for the last id, and a connection that is not closed in the night.
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci,  @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), ',NO_AUTO_VALUE_ON_ZERO'),  @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483
SELECT VERSION()
\ping

-- == Rails on trilogy
\flags found_rows multi_statements multi_results
SET NAMES utf8mb4,  @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), ',NO_AUTO_VALUE_ON_ZERO'),  @@SESSION.wait_timeout = 2147483
SELECT @@version
-- A transaction with an isolation level, as Rails begins it.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED
BEGIN
SELECT 42
COMMIT
\ping

-- == Rails, not strict
\flags found_rows
SET NAMES utf8mb4,  @@SESSION.sql_mode = CONCAT(REPLACE(REPLACE(REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', ''), 'STRICT_ALL_TABLES', ''), 'TRADITIONAL', ''), ',NO_AUTO_VALUE_ON_ZERO'),  @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483

-- == Rails with variables
\flags found_rows
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci,  @@SESSION.sql_mode = 'TRADITIONAL',  @@SESSION.lock_wait_timeout = 30, @@SESSION.max_execution_time = 5000, @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci,  @@SESSION.sql_mode = 'TRADITIONAL',  @@SESSION.lock_wait_timeout = 30, @@SESSION.net_write_timeout = DEFAULT, @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483

-- == Sequel
\flags multi_statements multi_results
SET @@wait_timeout = 2147483
SET SQL_AUTO_IS_NULL=0
SET sql_mode = 'NO_ZERO_DATE'
SET time_zone = '+00:00'
