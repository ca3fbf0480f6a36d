-- A database with a column of every type, for mariadb-dump and its reload. Runs in an empty database.
-- The bytes that a column needs are made by the server, so that no client has a say in them.
SET sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00';

CREATE TABLE numbers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, tiny TINYINT, tiny_u TINYINT UNSIGNED, small SMALLINT,
  small_u SMALLINT UNSIGNED, medium MEDIUMINT, medium_u MEDIUMINT UNSIGNED, normal INT, normal_u INT UNSIGNED, big BIGINT,
  big_u BIGINT UNSIGNED, truth BOOLEAN, price DECIMAL(40,10), ratio FLOAT, exact DOUBLE, flag BIT(1), bits BIT(20),
  bits_all BIT(64), UNIQUE KEY by_big (big_u), KEY by_two (tiny, small DESC)
) AUTO_INCREMENT = 1000 COMMENT = 'it''s "numbers" 👌';
INSERT INTO numbers VALUES
  (1, -128, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0, FALSE, -999999999999999999999999999999.9999999999,
   -1.5, -1.7976931348623157e308, b'0', 0, 0),
  (2, 127, 255, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807, 18446744073709551615, TRUE,
   999999999999999999999999999999.9999999999, 65536, 2.2250738585072014e-308, b'1', 0x0fffff, 0xffffffffffffffff),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, TRUE, 0.0000000001, 0.1, 0.1, b'1', 0x0a0927, 0x00270a0d1a225c00);

CREATE TABLE times (
  id INT PRIMARY KEY, day DATE, hours TIME, hours_micro TIME(6), moment DATETIME DEFAULT CURRENT_TIMESTAMP,
  moment_micro DATETIME(6), stamp TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  stamp_micro TIMESTAMP(6) NULL, in_year YEAR
);
INSERT INTO times VALUES
  (1, '1000-01-01', '-838:59:59', '-00:00:00.000001', '1000-01-01', '1000-01-01 00:00:00.000001', '1970-01-01 00:00:01',
   '1970-01-01 00:00:01.000001', 1901),
  (2, '9999-12-31', '838:59:59', '838:59:58.999999', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999',
   '2038-01-19 03:14:07', '2038-01-19 03:14:07.999999', 2155),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  -- An hour that a zone with summer time has twice.
  (4, '2024-02-29', '12:34:56', '12:34:56.789', '2024-10-27 02:30:00', '2024-10-27 02:30:00.5', '2024-10-27 01:30:00',
   '2024-10-27 00:30:00', 2024);

CREATE TABLE texts (
  id INT PRIMARY KEY, letters CHAR(10), words VARCHAR(300), latin VARCHAR(20) CHARACTER SET latin1,
  wide VARCHAR(20) CHARACTER SET utf16, story_tiny TINYTEXT, story TEXT, story_medium MEDIUMTEXT, story_long LONGTEXT,
  colour ENUM('red', 'it''s blue', 'größe'), tags SET('a', 'b', 'c'), doc JSON, FULLTEXT KEY by_story (story)
);
INSERT INTO texts VALUES
  (1, '', '', '', '', '', '', '', '', 'red', '', '[]'),
  (2, REPEAT('👍', 10), REPEAT('ü', 251), 'Grüße ÿ', '日本語 👍', 'tiny', 'it''s "quoted" \\ and\ttabbed\r\n\Z\0 --', REPEAT('m', 65535),
   REPEAT('l', 70000), 'größe', 'a,c', '{"a": [1, 2.5, null, true], "ü": "👍 \\"quoted\\" \\\\"}'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, '-- no', '/*! no */', ';', 'x', 'delimiter //', '`backtick`', '%s', '''', 'it''s blue', 'b', '"text"');

CREATE TABLE bytes (
  id INT PRIMARY KEY, raw_fixed BINARY(8), raw VARBINARY(300), blob_tiny TINYBLOB, blob_normal BLOB,
  blob_medium MEDIUMBLOB, blob_long LONGBLOB
);
-- Every byte, then bytes that are no characters, then a row longer than a packet of 0xFFFFFF bytes takes.
SET @all = (WITH RECURSIVE byte (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM byte WHERE value < 255)
  SELECT UNHEX(GROUP_CONCAT(LPAD(HEX(value), 2, '0') ORDER BY value SEPARATOR '')) FROM byte);
INSERT INTO bytes VALUES
  (1, UNHEX('0001020304050607'), @all, LEFT(@all, 255), @all, CONCAT(@all, REVERSE(@all)), REPEAT(@all, 300)),
  (2, UNHEX('FFFEFDFCFBFAF9F8'), '', '', '', '', ''),
  (3, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, UNHEX('275C220A0D001A60'), UNHEX('F0908D'), UNHEX('C3'), UNHEX('EDA080'), REPEAT(UNHEX('FB'), 65536), REPEAT(@all, 66000));

CREATE TABLE places (id INT PRIMARY KEY, any_shape GEOMETRY, spot POINT NOT NULL, line LINESTRING, area POLYGON,
  spots MULTIPOINT, mix GEOMETRYCOLLECTION, SPATIAL KEY by_spot (spot));
INSERT INTO places VALUES
  (1, ST_GeomFromText('POINT(0 0)'), ST_GeomFromText('POINT(1.5 -2.25)'), ST_GeomFromText('LINESTRING(0 0, 1 1, 2 0)'),
   ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))'), ST_GeomFromText('MULTIPOINT(1 1, 2 2)'),
   ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2), LINESTRING(0 0, 3 3))')),
  (2, NULL, ST_GeomFromText('POINT(1e300 39)'), NULL, NULL, NULL, NULL);

CREATE TABLE computed (
  id INT PRIMARY KEY, net DECIMAL(10,2) NOT NULL, vat DECIMAL(10,2) GENERATED ALWAYS AS (net * 0.19) VIRTUAL,
  gross DECIMAL(10,2) GENERATED ALWAYS AS (net * 1.19) STORED, label VARCHAR(20) DEFAULT 'it''s new', KEY by_gross (gross)
);
INSERT INTO computed (id, net) VALUES (1, 100), (2, 19.99), (3, -5);

CREATE TABLE parents (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL);
CREATE TABLE children (id INT PRIMARY KEY, parent INT, CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id)
  ON DELETE CASCADE);
CREATE TABLE journal (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100));
CREATE TRIGGER parents_are_noted AFTER INSERT ON parents FOR EACH ROW
  INSERT INTO journal (what) VALUES (CONCAT('new; ', NEW.name, ' 👪'));
INSERT INTO parents VALUES (1, 'Ada'), (2, 'Grace');
INSERT INTO children VALUES (10, 1), (11, 1), (20, 2);
CREATE VIEW families AS SELECT p.name, COUNT(c.id) AS `größe` FROM parents p LEFT JOIN children c ON c.parent = p.id
  GROUP BY p.name;
CREATE TABLE `odd ``name``; 'größe'` (`a b` INT, `select` INT);
INSERT INTO `odd ``name``; 'größe'` VALUES (1, 2);
CREATE TABLE nothing (a INT);
CREATE TABLE many (id INT PRIMARY KEY, body VARCHAR(100));
INSERT INTO many WITH RECURSIVE up (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM up WHERE id < 1000)
  SELECT id, REPEAT(CHAR(97 + id % 26), id % 100) FROM up;
