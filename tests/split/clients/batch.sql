-- What the command line client says in the conversation that is cut: nothing here may depend on the run.
DROP TABLE IF EXISTS t;
CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(300), c DECIMAL(10,2));
INSERT INTO t (b, c) VALUES ('', 1.5), ('a', NULL), (REPEAT('x', 300), -2.25);
SELECT * FROM t ORDER BY a;
SELECT b FROM t ORDER BY a;
SELECT nonsense FROM t;
BEGIN;
UPDATE t SET b = 'changed' WHERE a = 2;
SELECT ROW_COUNT(), b FROM t WHERE a = 2;
ROLLBACK;
SET @v = 7;
SELECT @v, @v + 1;
INSERT INTO t (a) VALUES (1);
SELECT COUNT(*) FROM t;
DROP TABLE t;
USE test;
SELECT DATABASE();
