-- What the command line client runs, as `mariadb --force < batch.sql` in an empty database: some of it fails.
SELECT 1, 'text', NULL, '', 1.50, DATE '2024-02-29';
CREATE TABLE fruit (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL, price DECIMAL(6,2),
  raw VARBINARY(10), KEY by_name (name));
INSERT INTO fruit (name, price, raw) VALUES ('apple', 1.20, x'00ff0a09'), ('Äpfel 🍏', NULL, ''), ('tab\tand\nline', -1, NULL);
SELECT * FROM fruit ORDER BY id;
SELECT * FROM fruit WHERE id > 100;
SELECT * FROM fruit WHERE id = 1\G
UPDATE fruit SET price = price * 2 WHERE id < 3;
DELETE FROM fruit WHERE name = 'nothing';
SELECT 1 / 0, CAST('12 apples' AS SIGNED);
SHOW WARNINGS;
INSERT INTO fruit (id, name) VALUES (1, 'again');
SELEKT 1;
SELECT * FROM no_such_table;
USE no_such_database;
SELECT DATABASE();

-- The client's own commands.
warnings;
SELECT CAST('13 apples' AS SIGNED);
nowarning;
USE test;
SELECT DATABASE();
SHOW TABLES LIKE 'fruit';
USE drivers;
-- Asks for the columns of every table, with a command of the protocol that nothing else sends.
rehash;
SHOW TABLES;
charset latin1;
SELECT @@character_set_client, HEX('ä');
charset utf8mb4;
SELECT @@character_set_client, HEX('ä');
status;

-- The delimiter is the client's: several statements to it are one to the server.
delimiter //
CREATE PROCEDURE loop_over(IN rounds INT)
BEGIN
  DECLARE turn INT DEFAULT 0;
  WHILE turn < rounds DO
    INSERT INTO fruit (name, price) VALUES (CONCAT('fruit ', turn), turn);
    SET turn = turn + 1;
  END WHILE;
  SELECT COUNT(*) FROM fruit;
  SELECT 'second result';
END//
CALL loop_over(3)//
SELECT 'one' AS a; SELECT 'two' AS b//
delimiter ;

-- What a session remembers.
SET @total = 0, sql_mode = 'ANSI_QUOTES', time_zone = '+01:00';
SELECT @total := @total + id FROM "fruit" ORDER BY id;
SELECT @total, @@sql_mode, @@time_zone, FROM_UNIXTIME(0);
SELECT SQL_CALC_FOUND_ROWS id FROM fruit ORDER BY id LIMIT 2;
SELECT FOUND_ROWS();
INSERT INTO fruit (name) VALUES ('last');
SELECT LAST_INSERT_ID(), ROW_COUNT();
CREATE TEMPORARY TABLE scratch SELECT id FROM fruit;
SELECT COUNT(*) FROM scratch;
DROP TEMPORARY TABLE scratch;
START TRANSACTION;
DELETE FROM fruit;
SELECT COUNT(*) FROM fruit;
ROLLBACK;
SELECT COUNT(*) FROM fruit;
PREPARE by_id FROM 'SELECT name FROM fruit WHERE id = ?';
SET @id = 2;
EXECUTE by_id USING @id;
DEALLOCATE PREPARE by_id;
EXECUTE by_id USING @id;
LOCK TABLES fruit WRITE;
INSERT INTO fruit (name) VALUES ('locked');
SELECT * FROM test.no_such_table;
UNLOCK TABLES;
EXPLAIN SELECT * FROM fruit WHERE id = 1;
DESCRIBE fruit;
SHOW CREATE TABLE fruit;
SHOW VARIABLES LIKE 'character_set_c%';
DROP PROCEDURE loop_over;
DROP TABLE fruit;
