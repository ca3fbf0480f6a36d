-- What Java's drivers send, and pools and Hibernate through them.

-- == MariaDB Connector/J 2.7, from the general log
\flags multi_results found_rows session_track
set autocommit=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')
SELECT @@max_allowed_packet,@@system_time_zone,@@time_zone,@@auto_increment_increment
SELECT 42
-- setAutoCommit(false), setTransactionIsolation()
set autocommit=0
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
SELECT 43
COMMIT
set autocommit=1
-- isValid()
\ping

-- == MariaDB Connector/J 2.7 with sessionVariables
\flags multi_results found_rows session_track
set autocommit=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES'),sql_mode='ANSI_QUOTES',wait_timeout=600
SELECT @@max_allowed_packet,@@system_time_zone,@@time_zone,@@auto_increment_increment

-- == MariaDB Connector/J 3
\flags multi_results session_track
-- It has the isolation level told to it, and asks for more than the default list.
set sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'),session_track_system_variables = CONCAT(@@global.session_track_system_variables,',tx_isolation')
set sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'),session_track_system_variables = CONCAT(@@global.session_track_system_variables,',transaction_isolation')
SELECT 42
set autocommit=0
set session transaction isolation level READ COMMITTED
SELECT 43
COMMIT
set autocommit=1
\ping

-- == MariaDB Connector/J 3 with a time zone and a collation
\flags multi_results session_track
set autocommit=1,sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'),time_zone='+00:00',NAMES utf8mb4 COLLATE utf8mb4_unicode_ci,wait_timeout=600,@connected=1
\probe @connected

-- == MySQL Connector/J
\flags multi_results found_rows session_track
-- What it knows of the server. Versions from before MySQL 8 ask for the query cache as well.
/* mysql-connector-j-9.1.0 (Revision: cf2917ea44ae2e43a4514a33771035aa99de73ca) */SELECT  @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@character_set_connection AS character_set_connection, @@character_set_results AS character_set_results, @@character_set_server AS character_set_server, @@collation_server AS collation_server, @@collation_connection AS collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, @@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, @@net_write_timeout AS net_write_timeout, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@wait_timeout AS wait_timeout
SHOW WARNINGS
SET NAMES utf8mb4
-- Results come as they are stored.
SET character_set_results = NULL
SET autocommit=1
SET sql_mode='STRICT_TRANS_TABLES,ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION'
SELECT 42

-- == MySQL Connector/J with sessionVariables
\flags multi_results found_rows session_track
SET character_set_results = NULL
SET SESSION sql_mode='TRADITIONAL',SESSION time_zone='+00:00',SESSION group_concat_max_len=1000000,@from='jdbc'
SET autocommit=1
\probe @from

-- == Hibernate on HikariCP and MySQL Connector/J
\flags multi_results found_rows session_track
SET character_set_results = NULL
SET autocommit=1
-- The pool: what a connection is like at first, whether it lives, read only or not.
SELECT @@session.tx_isolation
SELECT @@session.transaction_isolation
SELECT @@session.tx_read_only
SELECT @@session.transaction_read_only
/* ping */ SELECT 1
-- A transaction that only reads.
set session transaction read only
SET autocommit=0
SELECT 42
commit
SET autocommit=1
set session transaction read write
-- One that writes, isolated.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
SET autocommit=0
SELECT 43
rollback
SET autocommit=1
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ
\ping

-- == Hibernate on a pool with autocommit off
-- hibernate.connection.provider_disables_autocommit: off once, and never on again.
\flags multi_results found_rows session_track
SET character_set_results = NULL
SET autocommit=0
SELECT 42
commit
SELECT 43
rollback
