-- What the connectors of .NET send, from their sources.

-- == MySqlConnector, pooled
\flags found_rows ignore_space multi_statements multi_results session_track
SET NAMES utf8mb4;
SELECT CONNECTION_ID(), VERSION();
SELECT 42
-- A connection out of the pool: the reset takes the character set back, too.
\reset
SET NAMES utf8mb4;
set session transaction isolation level repeatable read;
start transaction;
SELECT 43
commit
\ping

-- == MySQL Connector/NET
\flags found_rows multi_statements multi_results
SELECT @@max_allowed_packet, @@character_set_client, @@character_set_connection, @@license, @@sql_mode, @@lower_case_table_names, @@autocommit;
SHOW COLLATION
SELECT TIMEDIFF(NOW(), UTC_TIMESTAMP())
SET NAMES utf8mb4
SET character_set_results=NULL
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ
BEGIN
SELECT 42
COMMIT

-- == Entity Framework with a session of its own
\flags found_rows ignore_space multi_statements multi_results session_track
SET NAMES utf8mb4;
SET @__mode = @@sql_mode;
SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES');
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
START TRANSACTION;
SELECT 42;
COMMIT;
\probe @__mode
