-- What Python's drivers and frameworks send, from the general log of a server.

-- == PyMySQL under SQLAlchemy
\flags multi_statements multi_results
-- The driver: the character set of its argument, and autocommit as Python's database interface wants it.
SET NAMES utf8mb4
SET AUTOCOMMIT = 0
-- SQLAlchemy: its own character set, then what it asks once of a server.
SET NAMES utf8mb4
SELECT DATABASE()
SELECT @@tx_isolation
SELECT @@transaction_isolation
SELECT @@sql_mode
SELECT @@lower_case_table_names
ROLLBACK
-- The pool asks whether the connection lives.
\ping
SELECT 42
-- Given back to the pool.
ROLLBACK

-- == PyMySQL under SQLAlchemy, isolation level
\flags multi_statements multi_results
SET NAMES utf8mb4
SET AUTOCOMMIT = 0
SET NAMES utf8mb4
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
COMMIT
SELECT 42
ROLLBACK

-- == PyMySQL under SQLAlchemy, AUTOCOMMIT
\flags multi_statements multi_results
SET NAMES utf8mb4
SET AUTOCOMMIT = 0
SET AUTOCOMMIT = 1
SELECT 42
ROLLBACK

-- == PyMySQL with init_command
\flags multi_statements multi_results
SET NAMES utf8mb4
SET time_zone='+00:00', sql_mode='TRADITIONAL', group_concat_max_len=102400
SET AUTOCOMMIT = 0
SELECT 42
ROLLBACK

-- == mysqlclient under SQLAlchemy
-- The character set goes with the login; mysqlclient asks for the count of found rows where SQLAlchemy tells it to.
\flags multi_statements multi_results found_rows
SET sql_mode="STRICT_TRANS_TABLES"
SET autocommit=0
SELECT 42
COMMIT
ROLLBACK

-- == MySQL Connector/Python
\flags multi_statements multi_results found_rows
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'
SET @@session.autocommit = OFF
SET @@session.time_zone = '+02:00'
SET @@session.sql_mode = 'TRADITIONAL'
SELECT 42
COMMIT

-- == MySQL Connector/Python under SQLAlchemy, AUTOCOMMIT
\flags multi_statements multi_results found_rows
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci'
SET @@session.autocommit = OFF
SET @@session.autocommit = ON
SELECT 42
ROLLBACK

-- == MySQL Connector/Python, pooled
-- Its pool resets a connection that comes back and sets everything again.
\flags multi_statements multi_results
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'
SET @@session.autocommit = OFF
SELECT 42
\reset
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'
SET @@session.time_zone = '+02:00'
SET @@session.autocommit = OFF

-- == Django
-- FOUND_ROWS, since it counts what an UPDATE has matched.
\flags multi_statements multi_results found_rows
SET NAMES utf8mb4
SET AUTOCOMMIT = 0
SET AUTOCOMMIT = 1
SELECT VERSION(), @@sql_mode, @@default_storage_engine, @@sql_auto_is_null, @@lower_case_table_names, CONVERT_TZ('2001-01-01 01:00:00', 'UTC', 'UTC') IS NOT NULL
-- For servers that say so.
SET SQL_AUTO_IS_NULL = 0
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
SELECT 42
-- atomic()
SET AUTOCOMMIT = 0
SELECT 43
COMMIT
SET AUTOCOMMIT = 1

-- == Django with init_command
\flags multi_statements multi_results found_rows
SET NAMES utf8mb4
-- What its manual gives as the example; MySQL wants a privilege for the second.
SET sql_mode='STRICT_TRANS_TABLES', innodb_strict_mode=1
SET default_storage_engine=INNODB
SET AUTOCOMMIT = 0
SET AUTOCOMMIT = 1
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ
SELECT 42
