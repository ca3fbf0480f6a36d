-- What frameworks do while they work, after which nothing keeps their link either. Each comes to its end: what was locked
-- is released, what is temporary is dropped.

-- == Rails migrates under its advisory lock
\flags found_rows multi_statements multi_results
SET NAMES utf8mb4,  @@SESSION.sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'),  @@SESSION.wait_timeout = 2147483
SELECT GET_LOCK('8214271049876123', 0)
SELECT COUNT(*) FROM things
SELECT RELEASE_LOCK('8214271049876123')

-- == Rails in nested transactions
\flags found_rows
SET NAMES utf8mb4,  @@SESSION.sql_auto_is_null = 0
BEGIN
INSERT INTO things VALUES (1, 'one')
SAVEPOINT active_record_1
UPDATE things SET name = 'two' WHERE id = 1
ROLLBACK TO SAVEPOINT active_record_1
RELEASE SAVEPOINT active_record_1
SELECT name FROM things WHERE id = 1 FOR UPDATE
ROLLBACK

-- == SQLAlchemy with autocommit off
\flags multi_statements multi_results
SET NAMES utf8mb4
SET AUTOCOMMIT = 0
SELECT COUNT(*) FROM things
ROLLBACK
INSERT INTO things VALUES (2, 'two')
DELETE FROM things WHERE id = 2
COMMIT
\ping

-- == Django with atomic blocks
\flags multi_statements multi_results found_rows
SET NAMES utf8mb4
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
SET AUTOCOMMIT = 0
SAVEPOINT `s140_x1`
INSERT INTO things VALUES (3, 'three')
ROLLBACK TO SAVEPOINT `s140_x1`
COMMIT
SET AUTOCOMMIT = 1
SELECT COUNT(*) FROM things

-- == JDBC asks for warnings
\flags multi_results found_rows session_track
SET character_set_results = NULL
SET sql_mode='STRICT_TRANS_TABLES'
SELECT CAST('x' AS SIGNED)
SHOW WARNINGS
SELECT COUNT(*) FROM things
SHOW COUNT(*) WARNINGS

-- == A page and the number of all rows
SET time_zone = '+03:00'
SELECT SQL_CALC_FOUND_ROWS SCHEMA_NAME FROM information_schema.SCHEMATA LIMIT 1
SELECT FOUND_ROWS()
DELETE FROM things WHERE id > 1000
SELECT ROW_COUNT()

-- == A report by way of a temporary table
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci
CREATE TEMPORARY TABLE report AS SELECT 1 AS id, 'one' AS name
SELECT name FROM report
DROP TEMPORARY TABLE report

-- == Statements prepared as text
SET sql_mode = 'ANSI_QUOTES'
PREPARE by_text FROM 'SELECT ? + 1'
SET @number = 41
EXECUTE by_text USING @number
DEALLOCATE PREPARE by_text
\probe @number

-- == A restore locks the table that it fills
\flags multi_statements multi_results
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
LOCK TABLES `things` WRITE;
/*!40000 ALTER TABLE `things` DISABLE KEYS */;
INSERT INTO `things` VALUES (4,'four'),(5,'five');
/*!40000 ALTER TABLE `things` ENABLE KEYS */;
UNLOCK TABLES;
DELETE FROM things;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
\probe @OLD_FOREIGN_KEY_CHECKS

-- == Rows are numbered by a variable
SET @row := 0
SELECT @row := @row + 1 AS number, name FROM (SELECT 'a' AS name UNION ALL SELECT 'b') AS t
SELECT 7, 'seven' INTO @id, @name
\probe @row, @id, @name

-- == A statement that fails leaves the session as it was
SET time_zone = '+04:00'
SELECT missing FROM things
SET time_zone = 'nowhere'
INSERT INTO things VALUES (6, NULL)
SET sql_mode = 'STRICT_ALL_TABLES', group_concat_max_len = 'x'

-- == Warnings with autocommit off
SET autocommit = 0
SELECT CAST('x' AS SIGNED)
SHOW WARNINGS
SELECT CAST('x' AS SIGNED)
SELECT @@warning_count
COMMIT
SET autocommit = 1
