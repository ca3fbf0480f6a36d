//! Shapes of statements that are easy to read wrong: joins of every kind, sub-queries, names that mean something else, values
//! that are nearly keys, and clauses that a server resolves by rules of its own.

use super::common::random::Random;
use super::grammar::Said;
use super::schema::{FIELDS, Field};

/// Values beside keys: of other types, in other forms, out of range.
const ODD: &[&str] = &[
    "NULL",
    "TRUE",
    "FALSE",
    "7.0",
    "7.5",
    "7e0",
    "'7'",
    "'7 '",
    "' 7'",
    "'007'",
    "'7abc'",
    "0x37",
    "x'37'",
    "b'111'",
    "+7",
    "-7",
    "-(7)",
    "(7)",
    "7 + 0",
    "7 | 0",
    "N'7'",
    "_utf8mb4'7'",
    "'7' ''",
    "CAST('7' AS SIGNED)",
    "18446744073709551615",
    "9223372036854775808",
    "'9007199254740993'",
    "20240105",
    "'2024-1-5'",
    "'20240105'",
    "'2024-01-05 00:00:00'",
    "'2024-01-05 10:00:00'",
    "DATE '2024-01-05'",
    "TIMESTAMP '2024-01-05 00:00:00'",
    "'KEY 1  '",
    "'kéy 1'",
    "N'key 1'",
    "_utf8mb4'key 1'",
    "_latin1'key 1'",
    "'key' ' 1'",
    "X'6B65792031'",
    "'key 1' COLLATE utf8mb4_bin",
    "CONCAT('key ', '1')",
    "0",
    "''",
    "'key%'",
    "user_id",
    "n",
    "v",
    "da",
    "@none",
    "(SELECT 7)",
    "7 DIV 1",
    "7 = 1",
    "7 IS NULL",
    "7 IN (7)",
    "7 BETWEEN 1 AND 9",
];

/// Conditions with values `$x` and keys `$k`.
const CONDITIONS: &[&str] = &[
    "user_id = $x",
    "$x = user_id",
    "user_id <=> $x",
    "user_id IN ($k, $x)",
    "user_id IN ($x, $k, NULL)",
    "user_id IN ($k, NULL)",
    "user_id NOT IN ($k, $x)",
    "user_id BETWEEN $x AND $k",
    "user_id BETWEEN $k AND $x",
    "user_id NOT BETWEEN $k AND $k",
    "user_id > $x",
    "user_id <= $x",
    "$x < user_id",
    "NOT (user_id = $k)",
    "NOT user_id = $k",
    "NOT user_id <=> $k",
    "! (user_id = $k)",
    "user_id = $k = 1",
    "user_id = $k IS NULL",
    "user_id = $k IS NOT TRUE",
    "user_id = $k IN (0)",
    "(user_id = $k) = (n = 3)",
    "user_id = $k OR n = 3 AND user_id = $k",
    "user_id = $k && n < 5",
    "n < 5 && user_id = $k OR n = 7",
    "(user_id, n) = ($k, 3)",
    "(n, user_id) IN ((3, $k), (4, $k))",
    "(user_id, n) IN (($k, 3), ($x, 4))",
    "(user_id, n) > ($k, 3)",
    "(user_id, n) <=> ($k, NULL)",
    "ROW(user_id, n) = ROW($k, 4)",
    "user_id = user_id",
    "user_id = $k AND user_id = user_id",
    "user_id = $k OR NULL",
    "user_id = $k AND NULL",
    "-user_id = $x",
    "user_id + 0 = $x",
    "user_id COLLATE utf8mb4_bin = $k",
    "UPPER(user_id) = $k",
    "user_id LIKE $k",
    "CASE WHEN user_id = $k THEN n < 5 ELSE n > 5 END",
    "IF(user_id = $k, n < 5, n > 8)",
    "IFNULL(user_id = $k, 0)",
    "COALESCE(user_id, $k) = $k",
    "user_id = (SELECT MAX(user_id) FROM notes)",
    "user_id = ANY (SELECT user_id FROM notes)",
    "user_id <> ALL (SELECT user_id FROM notes)",
    "user_id IN (SELECT user_id FROM notes)",
    "user_id NOT IN (SELECT user_id FROM notes WHERE user_id IS NOT NULL)",
    "users.user_id = $k AND `user_id` = $k",
    "`users`.`USER_ID` = $k",
    "user_id /* user_id= 1 */ = $k",
    "user_id = $k -- OR 1\n",
    "n <=> n AND (((user_id = $k)))",
    "user_id IN (SELECT user_id FROM orders WHERE nr < $n)",
    "user_id IN (SELECT DISTINCT user_id FROM orders GROUP BY user_id, nr)",
    "user_id NOT IN (SELECT user_id FROM orders WHERE nr < $n)",
    "user_id IN (SELECT MAX(user_id) FROM orders)",
    "user_id IN (SELECT user_id FROM orders ORDER BY COUNT(*))",
    "user_id IN (SELECT user_id FROM orders HAVING COUNT(*) > 0)",
    "user_id IN (SELECT o.user_id FROM orders o LEFT JOIN items i ON i.user_id = o.user_id WHERE i.nr IS NULL)",
    "user_id IN (SELECT i.user_id FROM orders o LEFT JOIN items i ON i.user_id = o.user_id)",
    "user_id NOT IN (SELECT i.user_id FROM orders o LEFT JOIN items i ON i.user_id = o.user_id)",
    "EXISTS (SELECT 1 FROM orders WHERE orders.user_id = users.user_id AND nr > $n)",
    "NOT EXISTS (SELECT 1 FROM orders WHERE orders.user_id = users.user_id AND orders.user_id = $k)",
    "NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.user_id AND users.user_id = $k)",
    "EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.user_id OR o.nr = 3)",
    "EXISTS (SELECT 1 FROM orders WHERE user_id = $k)",
    "EXISTS (SELECT 1 FROM orders o JOIN items i ON i.user_id = o.user_id WHERE o.user_id = users.user_id AND i.nr < $n)",
    "EXISTS (SELECT 1 FROM orders users WHERE users.user_id = $k)",
    "EXISTS (SELECT 1 FROM places WHERE user_id = $k)",
    "EXISTS (SELECT 1 FROM notes WHERE user_id = users.user_id)",
    "EXISTS (SELECT 1 FROM notes WHERE user_id = $k)",
    "EXISTS (SELECT 1 FROM (SELECT $k AS user_id) AS orders WHERE orders.user_id = users.user_id)",
    "n = (SELECT COUNT(*) FROM orders o WHERE o.user_id = users.user_id)",
    "n > ALL (SELECT nr FROM orders o WHERE o.user_id = users.user_id)",
    "EXISTS (SELECT COUNT(*) FROM orders o WHERE o.user_id = users.user_id HAVING COUNT(*) > 1)",
];

/// Statements. `!` before one: its rows have an order. `$w` is a WHERE clause about users.
const READS: &[&str] = &[
    // What ORDER BY and GROUP BY mean.
    "!SELECT n, user_id FROM users$w ORDER BY (1), (2)",
    "!SELECT n, user_id FROM users$w ORDER BY +1, user_id",
    "!SELECT n, user_id FROM users$w ORDER BY 2, 1 DESC",
    "!SELECT n, user_id FROM users ORDER BY TRUE, user_id, n",
    "!SELECT n, user_id FROM users ORDER BY 1 + 1, user_id, n",
    "!SELECT n, user_id FROM users ORDER BY 'n', user_id, n",
    "!SELECT n, user_id FROM users ORDER BY NULL, user_id, n",
    "!SELECT n, user_id FROM users ORDER BY (NULL), user_id, n",
    "SELECT n, COUNT(*) FROM users GROUP BY (1)",
    "SELECT n, COUNT(*) FROM users GROUP BY +1",
    "SELECT COUNT(*), n FROM users GROUP BY 2",
    "SELECT COUNT(*) FROM users GROUP BY 1 + 1",
    "SELECT COUNT(*) FROM users GROUP BY NULL",
    "SELECT COUNT(*) FROM users GROUP BY 'x'",
    "SELECT COUNT(*) FROM users GROUP BY TRUE",
    "SELECT su AS n, COUNT(*) FROM users GROUP BY su",
    "SELECT su % 2 AS m, COUNT(*) FROM users GROUP BY m",
    "SELECT su AS k, COUNT(*) FROM users GROUP BY k",
    "SELECT user_id AS k, COUNT(*) FROM users GROUP BY k",
    "SELECT COUNT(*) AS user_id FROM users GROUP BY user_id",
    "!SELECT n AS user_id, su FROM users ORDER BY user_id, su",
    "!SELECT su AS n, n AS su, user_id FROM users ORDER BY n, user_id, users.n",
    "!SELECT -n AS n, user_id FROM users ORDER BY n, user_id",
    "!SELECT n, user_id FROM users ORDER BY -n, user_id",
    "!SELECT n + 1, user_id FROM users ORDER BY n, user_id",
    "!SELECT user_id, n FROM users ORDER BY n = 3 DESC, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY n / 30000, user_id, n",
    "SELECT n / 3, COUNT(*) FROM users GROUP BY n / 3",
    "SELECT MAX(n / 3), SUM(n DIV 3) FROM users",
    "!SELECT user_id, n FROM users ORDER BY v COLLATE utf8mb4_bin, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY vl COLLATE latin1_bin DESC, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY CAST(v AS BINARY), user_id, n",
    "!SELECT user_id, n FROM users ORDER BY $o IS NULL, $o, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY IFNULL($o, '0'), user_id, n",
    "!SELECT user_id, n FROM users ORDER BY LENGTH(x), REVERSE(v), user_id, n",
    "!SELECT user_id, n FROM users ORDER BY e, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY s, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY CONCAT(e), user_id, n",
    "!SELECT user_id, n FROM users ORDER BY e + 0, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY RAND(3) < 2, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY (SELECT MAX(nr) FROM orders o WHERE o.user_id = users.user_id), user_id, n",
    "!SELECT user_id, n, (SELECT MAX(nr) FROM orders o WHERE o.user_id = users.user_id) AS m FROM users ORDER BY m, user_id, n",
    "!SELECT user_id, n FROM users ORDER BY COUNT(*) OVER (), user_id, n",
    "SELECT n FROM users$w ORDER BY ROW_NUMBER() OVER (ORDER BY n)",
    "SELECT n, COUNT(*) OVER (PARTITION BY user_id) FROM users",
    "SELECT 1 FROM users$w ORDER BY COUNT(*)",
    "SELECT COUNT(*) FROM users$w ORDER BY COUNT(*)",
    "SELECT 1 FROM users HAVING COUNT(*) > 3",
    "SELECT n FROM users HAVING n > 3",
    "SELECT user_id FROM users GROUP BY user_id HAVING COUNT(*) > 1",
    "SELECT user_id, SUM($a) FROM users$w GROUP BY user_id HAVING SUM($a) > 0",
    "!SELECT user_id, SUM($a) AS s FROM users GROUP BY user_id ORDER BY s DESC, user_id LIMIT 3",
    "!SELECT user_id FROM users GROUP BY user_id ORDER BY COUNT(*), MIN($o), user_id",
    "!SELECT n, COUNT(*) FROM users GROUP BY n ORDER BY COUNT(*) DESC, n",
    "!SELECT n, SUM($a) FROM users GROUP BY n ORDER BY SUM($a), n",
    "!SELECT n, AVG($a) AS a FROM users GROUP BY n ORDER BY a, n LIMIT 2, 3",
    "!SELECT n FROM users GROUP BY n ORDER BY n LIMIT 3 OFFSET 2",
    "SELECT n, su, COUNT(*) FROM users GROUP BY n, su WITH ROLLUP",
    "SELECT user_id, COUNT(*) FROM users GROUP BY user_id WITH ROLLUP",
    "SELECT n, e, COUNT(*) FROM users GROUP BY n, e",
    "SELECT s, COUNT(*) FROM users GROUP BY s",
    "SELECT CONCAT(n, ''), COUNT(*) FROM users GROUP BY CONCAT(n, '')",
    "SELECT n % 3, MAX(n) FROM users GROUP BY n % 3",
    "SELECT n % 3 + 1, MAX(n) FROM users GROUP BY n % 3",
    "SELECT user_id + 0, COUNT(*) FROM users GROUP BY user_id + 0",
    "SELECT COUNT(*) FROM users GROUP BY LEFT(user_id, 2)",
    "!SELECT user_id, n FROM users ORDER BY f + 0e0 DESC, user_id, n",
    // Aggregates.
    "SELECT COUNT(DISTINCT user_id, n) FROM users",
    "SELECT COUNT(DISTINCT n) FROM users",
    "SELECT COUNT(DISTINCT users.user_id), COUNT(DISTINCT `user_id`) FROM users$w",
    "SELECT SUM(DISTINCT n) FROM users",
    "SELECT MIN(DISTINCT n), MAX(DISTINCT su) FROM users$w",
    "SELECT SUM(n) + 1, COUNT(*) FROM users",
    "SELECT (COUNT(*)) FROM users",
    "SELECT COUNT(*) + COUNT(n) FROM users",
    "SELECT MAX(n) - MIN(n) FROM users",
    "SELECT 1, 'x', NULL, COUNT(*) FROM users$w",
    "SELECT SUM(1), SUM(NULL), COUNT(NULL), MIN(1), MAX('a'), AVG(2) FROM users$w",
    "SELECT SUM(n = 3), SUM(n / 3), AVG(n * 2), SUM(-n) FROM users$w",
    "SELECT MIN(e), MAX(s) FROM users$w",
    "SELECT SUM(e), AVG(y), SUM(bi) FROM users$w",
    "SELECT SUM(v), AVG(x) FROM users$w",
    "SELECT SUM(t), AVG(da), SUM(dt) FROM users$w",
    "SELECT BIT_OR(i), BIT_AND(ti), BIT_XOR(bu) FROM users$w",
    "SELECT BIT_OR(bn), BIT_AND(bn) FROM users$w",
    "SELECT GROUP_CONCAT(n ORDER BY n) FROM users",
    "SELECT STD(n) > 1.7, VARIANCE(n) > 4.3 FROM users",
    "SELECT COUNT(*), COUNT($o), MIN($o) IS NULL FROM users$w",
    "SELECT IFNULL(SUM(n), 0) FROM users$w",
    "SELECT ANY_VALUE(n) FROM users WHERE user_id = $k",
    "SELECT COUNT(*) FROM users, places",
    "SELECT COUNT(*), SUM(nr) FROM users JOIN orders USING (user_id)$w",
    "SELECT DISTINCT COUNT(*) FROM users GROUP BY user_id",
    "SELECT ALL n FROM users$w",
    "SELECT DISTINCTROW n FROM users$w",
    "!SELECT DISTINCT n FROM users ORDER BY n + 0",
    "!SELECT DISTINCT user_id, n FROM users ORDER BY su, user_id, n",
    "SELECT DISTINCT e FROM users",
    "SELECT DISTINCT s, e FROM users",
    "!SELECT DISTINCT n % 4 AS m FROM users ORDER BY m LIMIT 2",
    "SELECT DISTINCT 1 FROM users",
    "SELECT DISTINCT n, 'x', NULL FROM users$w",
    "SELECT DISTINCT user_id FROM users JOIN orders USING (user_id)",
    "SELECT DISTINCT n = 3 FROM users",
    // LIMIT.
    "SELECT n FROM users LIMIT 0",
    "SELECT COUNT(*) FROM users LIMIT 0",
    "SELECT COUNT(*) FROM users LIMIT 1, 1",
    "SELECT n, COUNT(*) FROM users GROUP BY n LIMIT 0",
    "!SELECT user_id, n FROM users ORDER BY user_id, n LIMIT 18446744073709551615",
    "!SELECT user_id, n FROM users ORDER BY user_id, n LIMIT 18446744073709551615 OFFSET 3",
    "!SELECT user_id, n FROM users ORDER BY user_id, n LIMIT 5, 18446744073709551615",
    "!SELECT user_id, n FROM users ORDER BY user_id, n LIMIT 5 OFFSET 100000",
    "SELECT COUNT(*) FROM (SELECT n FROM users WHERE user_id = $k LIMIT 2) AS d",
    "SELECT user_id, n FROM users WHERE user_id = $k ORDER BY n LIMIT 1 FOR UPDATE",
    "!SELECT user_id, n FROM users$w ORDER BY user_id, n LIMIT 4 FOR UPDATE",
    "!SELECT user_id, n FROM users$w ORDER BY user_id, n LOCK IN SHARE MODE",
    "SELECT user_id, n FROM users FOR UPDATE",
    "SELECT n FROM users$w LIMIT 999999999 ;",
    // Names.
    "SELECT users.user_id, users.n FROM orders AS users JOIN items AS n ON users.user_id = n.user_id WHERE users.user_id = $k",
    "SELECT users.name FROM places AS users WHERE users.place = 7",
    "SELECT users.name, orders.n FROM places AS users, users AS orders WHERE orders.user_id = $k",
    "SELECT users.user_id, n FROM users WHERE users.user_id = $k AND `users`.n < 9",
    "SELECT `users`.* FROM `users` WHERE `users`.`user_id` = $k",
    "SELECT USERS.n FROM users USERS WHERE USERS.user_id = $k",
    "SELECT Users.n FROM users WHERE users.user_id = $k",
    "SELECT d.user_id FROM (SELECT n AS user_id FROM users WHERE user_id = $k) AS d",
    "SELECT users.user_id FROM (SELECT n AS user_id FROM users WHERE user_id = $k) AS users WHERE users.user_id = 3",
    "SELECT u.n FROM users u, (SELECT $k AS user_id) d WHERE d.user_id = $k AND u.user_id = d.user_id",
    "SELECT n, word FROM users JOIN notes USING (user_id) WHERE user_id = $k",
    "SELECT word, n FROM notes LEFT JOIN users USING (user_id) WHERE user_id = $k",
    "SELECT word, n FROM users RIGHT JOIN notes USING (user_id) WHERE user_id = $k",
    "SELECT n, word FROM users LEFT JOIN notes USING (user_id) WHERE user_id = $k",
    "SELECT user_id, COUNT(*) FROM users JOIN notes USING (user_id) GROUP BY user_id",
    "SELECT user_id, COUNT(*) FROM users LEFT JOIN notes USING (user_id) GROUP BY user_id",
    "SELECT user_id, COUNT(*) FROM notes LEFT JOIN users USING (user_id) GROUP BY user_id",
    "SELECT DISTINCT user_id FROM users RIGHT JOIN notes USING (user_id)",
    "SELECT user_id, nr, n FROM orders LEFT JOIN users USING (user_id)",
    "SELECT user_id, nr, n FROM orders RIGHT JOIN users USING (user_id) WHERE user_id = $k",
    "SELECT user_id, COUNT(*) FROM orders RIGHT JOIN users USING (user_id) GROUP BY user_id",
    "SELECT COUNT(*), MAX(nr) FROM orders NATURAL JOIN items",
    "SELECT * FROM orders NATURAL LEFT JOIN items WHERE user_id = $k",
    "SELECT user_id, COUNT(*) FROM orders NATURAL RIGHT JOIN items GROUP BY user_id",
    "SELECT COUNT(*) FROM users JOIN orders USING (user_id) JOIN items USING (user_id) WHERE user_id = $k",
    "SELECT COUNT(*) FROM users LEFT JOIN orders USING (user_id) LEFT JOIN items USING (user_id)",
    "SELECT COUNT(*) FROM users, orders LEFT JOIN items ON items.user_id = users.user_id",
    "SELECT COUNT(*) FROM users, orders JOIN items ON items.user_id = orders.user_id WHERE users.user_id = orders.user_id",
    "SELECT n, word FROM (users, notes) WHERE users.user_id = notes.user_id",
    "SELECT u.n, o.nr, i.nr FROM users u LEFT JOIN orders o JOIN items i ON i.user_id = o.user_id ON o.user_id = u.user_id",
    "SELECT u.n, o.nr, i.nr FROM users u JOIN orders o LEFT JOIN items i ON i.user_id = o.user_id ON o.user_id = u.user_id",
    "SELECT COUNT(*) FROM places p JOIN users u RIGHT JOIN orders o ON u.user_id = o.user_id WHERE p.place = 1",
    "SELECT /*+ NO_INDEX(users by_v) */ user_id, n FROM users USE INDEX (by_v) WHERE v = 'a'",
    "SELECT user_id, n FROM users IGNORE INDEX (by_v) WHERE v = 'b' AND user_id = $k",
    "SELECT /* user_id= 1 */ n FROM users # x\n WHERE user_id = $k",
    "SELECT users_0.n FROM users AS users_0 WHERE users_0.user_id = $k",
    // Several queries.
    "WITH a AS (SELECT user_id, n FROM users WHERE user_id = $k) SELECT * FROM a",
    "WITH Users AS (SELECT 1 AS n) SELECT n FROM users WHERE n = 1",
    "WITH users AS (SELECT 1 AS n) SELECT n FROM users",
    "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 5) SELECT u.user_id, u.n FROM users u JOIN a ON a.x = u.n WHERE u.user_id = $k",
    "SELECT n FROM users WHERE user_id = $k UNION ALL SELECT nr FROM orders WHERE user_id = $k",
    "SELECT n FROM users WHERE user_id = $k UNION SELECT place FROM places",
    "(SELECT n FROM users WHERE user_id = $k)",
    "SELECT n FROM users WHERE user_id = $k EXCEPT SELECT nr FROM orders WHERE user_id = $k",
    "SELECT place FROM places UNION SELECT n FROM users",
    "SELECT p.name, (SELECT COUNT(*) FROM users u WHERE u.su = p.place) FROM places p",
    "SELECT p.name, (SELECT COUNT(*) FROM users u WHERE u.su = p.place AND u.user_id = $k) FROM places p",
    "SELECT (SELECT COUNT(*) FROM orders), COUNT(*) FROM users",
    "SELECT (SELECT MAX(u.n) FROM places p WHERE p.place = 1) FROM users u",
    "SELECT (SELECT MAX(n) FROM places) FROM users",
    "SELECT (SELECT MAX(place) FROM places) FROM users WHERE user_id = $k",
    "SELECT n, (SELECT MAX(p.place + u.n) FROM places p) FROM users u",
    "SELECT 1 FROM users u ORDER BY (SELECT SUM(u.n) FROM places p WHERE p.place = 1)",
    "SELECT u.user_id, (SELECT COUNT(u.n) FROM places p WHERE p.place = 1) FROM users u GROUP BY u.user_id",
    "SELECT (SELECT COUNT(*) FROM orders WHERE user_id = NULL), COUNT(*) FROM users",
    "SELECT u.user_id, u.n, (SELECT COUNT(*) FROM orders o WHERE o.user_id = u.user_id AND o.nr < $n) FROM users u",
    "SELECT u.user_id, d.c FROM users u JOIN (SELECT user_id, COUNT(*) AS c FROM orders GROUP BY user_id) d ON d.user_id = u.user_id",
    "SELECT u.n, d.m FROM users u JOIN (SELECT MAX(place) AS m FROM places) d ON d.m > u.n",
    "SELECT COUNT(*) FROM users u WHERE u.n = (SELECT MAX(x.n) FROM users x WHERE x.user_id = u.user_id)",
    "SELECT u.user_id, u.n FROM users u JOIN users x ON x.user_id = u.user_id AND x.n = u.n + 1",
    "SELECT u.n FROM users u JOIN users x ON x.n = u.n WHERE u.user_id = $k AND x.user_id = $k",
    "SELECT DISTINCT u.user_id FROM users u JOIN users x ON x.user_id <=> u.user_id",
    "SELECT COUNT(*) FROM orders o LEFT JOIN users u ON u.user_id = o.user_id WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.user_id = u.user_id)",
    "SELECT COUNT(*) FROM orders o LEFT JOIN users u ON u.user_id = o.user_id AND u.n < $n WHERE u.user_id NOT IN (SELECT user_id FROM items)",
    "SELECT COUNT(*) FROM orders o LEFT JOIN users u ON u.user_id = o.user_id WHERE u.user_id IN (SELECT user_id FROM items) OR u.n IS NULL",
    "SELECT COUNT(DISTINCT u.user_id), COUNT(DISTINCT o.user_id) FROM users u LEFT JOIN orders o ON o.user_id = u.user_id AND o.nr < $n",
    "SELECT o.user_id, COUNT(*) FROM users u LEFT JOIN orders o ON o.user_id = u.user_id GROUP BY o.user_id",
    "SELECT DISTINCT o.user_id FROM users u LEFT JOIN orders o ON o.user_id = u.user_id",
    "SELECT n, @none, user_id FROM users$w",
];

/// What a server computes of aggregates: expressions, HAVING, ORDER BY, and DISTINCT in them.
const GROUPS: &[&str] = &[
    "SELECT SUM($a) / COUNT(*) FROM users$w",
    "SELECT IFNULL(SUM($a), 0), COUNT(*) + 1 FROM users$w",
    "SELECT ROUND(AVG(d), 2), ROUND(AVG(d0), 3), AVG(d0) * 3, AVG(ti) FROM users$w",
    "SELECT AVG($a) + 0, AVG(su) * AVG(d0), AVG(DISTINCT d0) * 3, -AVG(mi) FROM users$w",
    "SELECT IFNULL(AVG($a), 0), COALESCE(AVG(ti), -1), IF(COUNT(*) > 2, ROUND(AVG(d0), 1), 0), CONCAT(CEIL(AVG(d0)), 'x', AVG(ti) > 3), FORMAT(AVG(d0), 3), CAST(AVG(d0) AS DECIMAL(20,2)) FROM users$w",
    "SELECT n, AVG(d0) FROM users$w GROUP BY n HAVING AVG(d0) > 3.3333 AND AVG(ti) <> 1",
    "!SELECT n, AVG(d0) + 1 FROM users$w GROUP BY n ORDER BY AVG(d0), n",
    "!SELECT n, ROUND(AVG(d0), 1) * 3 AS mean FROM users$w GROUP BY n ORDER BY mean DESC, n",
    "SELECT SUM($a) + 1, SUM($a) * 2.5, -SUM($a), SUM($a) DIV 3, SUM($a) % 7 FROM users$w",
    "SELECT CONCAT('n=', COUNT(*)) AS `text`, 'x', 7, NULL, 1.50 FROM users$w",
    "SELECT MAX($p), MIN($p), COUNT(*) > 3, MAX(n) - MIN(n) FROM users$w",
    "SELECT CONCAT(MIN(dt), '/', MAX(da)), DATE(MAX(dt)), MAX(t), DATEDIFF(MAX(da), '2000-01-01'), MIN(y) + 1 FROM users$w",
    "SELECT MAX(da) + INTERVAL 1 MONTH, TIMESTAMP(MAX(da)), MAX(ts) > '2030-01-01', IFNULL(MAX(dt), MAX(da)) FROM users$w",
    "SELECT COALESCE(MAX(b), MIN(bu), 3), GREATEST(COUNT(*), 4), NULLIF(COUNT(*), 0), CASE WHEN COUNT(*) > 5 THEN SUM(d) ELSE 0 END FROM users$w",
    "SELECT SUM(db) / 3, MAX(db) * 2, SUM(db) + SUM(d), ROUND(SUM(db), 1), SQRT(COUNT(*)) FROM users$w",
    "SELECT BIT_OR(su) & 7, BIT_XOR(su) + 1, BIT_AND(su) DIV 2 FROM users$w",
    "SELECT CAST(SUM(d0) AS CHAR), FORMAT(SUM(d0), 2), HEX(COUNT(*)), CAST(COUNT(*) AS DECIMAL(10,3)), LPAD(MAX(n), 5, '0') FROM users$w",
    "SELECT SUM(CASE WHEN n > 3 THEN d0 ELSE 0 END) * 100 / COUNT(*), SUM(n > 3) + 0 FROM users$w",
    "SELECT n % 3, SUM($a) / COUNT(*) AS mean FROM users$w GROUP BY n % 3",
    "SELECT n, SUM($a) / COUNT(*) FROM users$w GROUP BY n",
    "SELECT n, n + 1, COUNT(*) + n FROM users$w GROUP BY n",
    "SELECT n, COUNT(*) FROM users$w GROUP BY n HAVING COUNT(*) > 2",
    "SELECT n, COUNT(*) FROM users$w GROUP BY n HAVING COUNT(*) > 1 AND n < 7",
    "SELECT n, COUNT(*) AS many FROM users$w GROUP BY n HAVING many > 1 AND SUM(d0) > 0",
    "SELECT n, SUM(d) / COUNT(*) AS mean FROM users$w GROUP BY n HAVING mean IS NOT NULL",
    "SELECT n + 0 AS k, MAX(d0) AS most FROM users$w GROUP BY k HAVING k > 2 AND most > 0",
    "SELECT users.n, COUNT(*) FROM users$w GROUP BY users.n HAVING users.n > 2 AND COUNT(*) >= 1",
    "SELECT MAX(n) FROM users$w HAVING COUNT(*) > 3",
    "SELECT COUNT(*) FROM users$w HAVING COUNT(*) > 300",
    "SELECT 1 FROM users$w HAVING MAX(n) > 3",
    "SELECT n FROM users$w GROUP BY n HAVING SUM(d0) > 3 OR MAX(da) IS NULL",
    "SELECT ti FROM users$w GROUP BY ti HAVING ti IS NULL OR COUNT(*) > 2",
    "!SELECT n, COUNT(*) FROM users$w GROUP BY n ORDER BY COUNT(*) DESC, n",
    "!SELECT n, SUM($a) FROM users$w GROUP BY n ORDER BY SUM(d0) / COUNT(*), n LIMIT 5",
    "!SELECT n, SUM($a) AS total FROM users$w GROUP BY n ORDER BY SUM($a) + 0 IS NULL, n DESC",
    "!SELECT n, SUM(d) * 2 AS total FROM users$w GROUP BY n HAVING COUNT(*) > 1 ORDER BY total, n LIMIT 2, 4",
    "!SELECT SUM(d) * 2, n FROM users$w GROUP BY n ORDER BY 1 DESC, 2 LIMIT 3 OFFSET 1",
    "!SELECT n, MAX(v) FROM users WHERE n < 0 GROUP BY n ORDER BY MAX(v), n",
    "!SELECT n FROM users$w GROUP BY n ORDER BY -n",
    "!SELECT n, COUNT(*) + 1 FROM users$w GROUP BY n ORDER BY n LIMIT 4",
    "!SELECT $p, COUNT(*) * 2 FROM users WHERE c IS NULL GROUP BY $p, n ORDER BY n, COUNT(*) * 2, 1",
    "!SELECT COUNT(*) + 1, RTRIM(vb) FROM users$w GROUP BY vb ORDER BY vb DESC",
    "SELECT CONCAT(RTRIM(vb), ' ', COUNT(*)), (vb = 'a') + COUNT(*), COUNT(*) FROM users$w GROUP BY vb HAVING vb <> 'A' OR COUNT(*) > 1",
    "SELECT COUNT(*) FROM users$w GROUP BY vl HAVING vl < 'u'",
    "SELECT COUNT(*) FROM users$w GROUP BY vu HAVING vu > 'b' OR vu = 'a'",
    "SELECT COUNT(*) FROM users$w GROUP BY v HAVING v = 'ss' OR v > 'e'",
    "SELECT RTRIM(IFNULL(MAX(vb), 'none')), UPPER(RTRIM(MIN(vb))), CONCAT(RTRIM(MIN(vb)), '-', COUNT(*)) FROM users$w",
    "SELECT MAX(vb) = MIN(vb), MAX(v) >= 'e', MIN(vu) = 'A', MAX(x) LIKE '%TEXT' FROM users$w",
    "SELECT e, s, COUNT(*) * 2 FROM users$w GROUP BY e, s",
    "SELECT f, bi, COUNT(*) * 2 FROM users WHERE c IS NULL AND f IS NULL GROUP BY f, bi",
    "SELECT bn, vy, bl, SUM(d0) / 2 FROM users$w GROUP BY bn, vy, bl",
    "SELECT y, da, dt, ts, t, SUM(d0) / 2 FROM users$w GROUP BY y, da, dt, ts, t",
    "SELECT COUNT(DISTINCT $o) FROM users$w",
    "SELECT COUNT(DISTINCT $o), COUNT(*), SUM(d0), MIN(n), AVG(d0) FROM users$w",
    "SELECT COUNT(DISTINCT ti, vl), COUNT(DISTINCT d) FROM users$w",
    "SELECT COUNT(DISTINCT v), COUNT(DISTINCT vb), COUNT(DISTINCT c), COUNT(DISTINCT x), COUNT(DISTINCT vu) FROM users$w",
    "SELECT COUNT(DISTINCT e), COUNT(DISTINCT s), COUNT(DISTINCT bi), COUNT(DISTINCT bl), COUNT(DISTINCT t) FROM users$w",
    "SELECT COUNT(DISTINCT n % 4), COUNT(DISTINCT user_id), COUNT(DISTINCT user_id, n) FROM users$w",
    "SELECT SUM(DISTINCT $a), AVG(DISTINCT $a), COUNT(DISTINCT $a) FROM users$w",
    "SELECT n, COUNT(DISTINCT $o), MAX(n) FROM users$w GROUP BY n",
    "SELECT n, SUM(DISTINCT $a), MIN(DISTINCT $a), COUNT(*) FROM users$w GROUP BY n",
    "SELECT n, COUNT(DISTINCT ti) FROM users$w GROUP BY n HAVING COUNT(DISTINCT ti) > 1",
    "!SELECT n, COUNT(DISTINCT ti) * 2 FROM users$w GROUP BY n ORDER BY COUNT(DISTINCT ti), n LIMIT 3",
    "SELECT COUNT(DISTINCT user_id) + COUNT(DISTINCT ti), 7 FROM users$w",
    "SELECT ti, COUNT(DISTINCT v) FROM users$w GROUP BY 1",
    "SELECT COUNT(DISTINCT o.nr), SUM(o.price) / COUNT(DISTINCT u.n) FROM users u JOIN orders o ON o.user_id = u.user_id",
    "!SELECT o.nr, ROUND(AVG(o.price), 2) AS mean FROM users u JOIN orders o ON o.user_id = u.user_id GROUP BY o.nr HAVING COUNT(*) > 1 ORDER BY mean DESC, o.nr",
    "SELECT o.nr, ROUND(AVG(o.price), 2) FROM users u LEFT JOIN orders o ON o.user_id = u.user_id WHERE u.n < $n GROUP BY o.nr",
    "SELECT IF(COUNT(*) > 0, SUM(d0) / COUNT(*), NULL) FROM users WHERE user_id IN ($k, $k)",
    "SELECT CEIL(AVG(ti)), FLOOR(SUM(d) / 7), TRUNCATE(AVG(d0), 3), ABS(MIN(d0)), SIGN(SUM(d)) FROM users$w",
    "SELECT n % 2 AS odd, COUNT(*) / 2 FROM users$w GROUP BY odd HAVING odd = 1",
    "SELECT COUNT(*) / 0, SUM(d0) / 0 FROM users$w",
    "SELECT SUM(d0 + ti) + SUM(su * 2), MAX(n) + MAX(ti) FROM users$w -- to the end",
    "SELECT STD(d0) > 0.7, VAR_SAMP(ti) > 100.3, STDDEV_SAMP(mi) > 5.3, COUNT(*) FROM users$w",
    "SELECT n, VARIANCE(su) > 1000.7 FROM users$w GROUP BY n HAVING STDDEV(su) >= 0",
    "SELECT GROUP_CONCAT(n ORDER BY user_id DESC, n), COUNT(*) FROM users$w",
    "SELECT n, GROUP_CONCAT(user_id, ':', ti ORDER BY user_id SEPARATOR '; ') FROM users$w GROUP BY n",
    "SELECT GROUP_CONCAT(DISTINCT $p ORDER BY $p), SUM(d0), COUNT(DISTINCT ti) FROM users$w",
    "SELECT GROUP_CONCAT(DISTINCT ti, '/', d0 ORDER BY d0 DESC, ti SEPARATOR '') FROM users$w",
    "SELECT n, GROUP_CONCAT(DISTINCT bn ORDER BY bn DESC), MAX(d0) FROM users$w GROUP BY n",
    "SELECT GROUP_CONCAT(ti ORDER BY ti), GROUP_CONCAT(d ORDER BY d DESC, user_id), AVG(d0) FROM users WHERE n < 3",
    "SELECT GROUP_CONCAT(vy ORDER BY vy), GROUP_CONCAT(bn ORDER BY bn, n) FROM users WHERE n < 2",
    "SELECT CONCAT('[', GROUP_CONCAT(n ORDER BY n), ']') FROM users WHERE n < 4 HAVING LENGTH(GROUP_CONCAT(n)) > 2",
    "SELECT LENGTH(GROUP_CONCAT(n)), GROUP_CONCAT(7) FROM users WHERE user_id IN ($k, $k, $k)",
    "SELECT GROUP_CONCAT(v ORDER BY user_id, n), GROUP_CONCAT(vu ORDER BY user_id, n SEPARATOR 'ü') FROM users WHERE n < 2",
    "SELECT MAX(bu) - 1 > 5, MIN(i) + 1 FROM users WHERE bu > 0",
];

/// Queries of which each is on several shards, or on some.
const UNIONS: &[&str] = &[
    "SELECT user_id, n, $p FROM users$w UNION ALL SELECT user_id, nr, NULL FROM orders",
    "SELECT * FROM orders UNION ALL SELECT user_id, nr, price, 'x' FROM items",
    "SELECT n FROM users WHERE user_id = $k UNION ALL SELECT nr FROM orders WHERE user_id IN ($k, $k)",
    "SELECT n FROM users WHERE user_id = $k UNION SELECT nr FROM orders WHERE user_id = $k UNION SELECT n + 1 FROM users",
    "SELECT $p FROM users$w UNION SELECT $p FROM users",
    "SELECT ti, d0 FROM users$w UNION SELECT nr, price FROM orders",
    "SELECT n AS a, d FROM users$w UNION DISTINCT SELECT nr, price FROM orders UNION SELECT place, 1.5 FROM places",
    "SELECT 1, 'x' UNION SELECT n, 'y' FROM users",
    "SELECT su FROM users$w UNION ALL SELECT b FROM users UNION SELECT d0 FROM users",
    "SELECT da FROM users$w UNION SELECT dt FROM users",
    "SELECT user_id, COUNT(*) FROM users$w GROUP BY user_id UNION ALL SELECT user_id, MAX(nr) FROM orders GROUP BY user_id",
    "SELECT DISTINCT ti FROM users UNION SELECT DISTINCT nr FROM orders",
    "(SELECT n, d FROM users$w) UNION (SELECT nr, price FROM orders WHERE user_id = $k)",
    "SELECT u.n, o.nr FROM users u JOIN orders o ON o.user_id = u.user_id UNION ALL SELECT nr, nr FROM items WHERE user_id > $k",
    "SELECT COUNT(DISTINCT v) FROM users UNION SELECT 1 FROM users",
    "!SELECT n AS a, d0 FROM users$w UNION ALL SELECT nr, price FROM orders ORDER BY a, 2",
    "!SELECT n, d0 FROM users$w UNION SELECT nr, price FROM orders ORDER BY d0 DESC, n LIMIT 7",
    "!(SELECT user_id, n, $p FROM users) UNION ALL (SELECT user_id, n + 100, $p FROM users) ORDER BY user_id DESC, n LIMIT 3, 6",
    "!SELECT user_id AS k, nr FROM orders UNION SELECT user_id, nr FROM items ORDER BY k, nr LIMIT 4 OFFSET 2",
    "!SELECT n, mi FROM users$w UNION ALL SELECT nr, NULL FROM items ORDER BY 2 DESC, 1",
    "SELECT e, bn, t FROM users$w UNION SELECT e, bn, t FROM users",
];

const WRITES: &[&str] = &[
    "INSERT INTO items (user_id, nr, price) SELECT user_id, nr, price FROM orders WHERE user_id = $k ON DUPLICATE KEY UPDATE price = VALUES(price) + 1",
    "INSERT IGNORE INTO items (nr, user_id, price) SELECT nr, user_id, price FROM orders WHERE nr = $n",
    "INSERT IGNORE INTO items (nr, user_id, price) SELECT 1, user_id, 3 FROM orders ORDER BY COUNT(*)",
    "INSERT IGNORE INTO items (user_id, nr, price) SELECT $k, nr, 0 FROM orders WHERE user_id = $k",
    "INSERT IGNORE INTO items (user_id, nr, price) SELECT $x, nr, 0 FROM orders WHERE user_id = $k",
    "INSERT IGNORE INTO items (user_id, nr, price) SELECT n, user_id, 0 FROM users",
    "INSERT INTO items (user_id, nr, price) VALUES ($x, $n, 1) ON DUPLICATE KEY UPDATE price = 2",
    "INSERT INTO items (user_id, nr, price, user_id) VALUES ($k, 1, 2, $k)",
    "INSERT INTO items (user_id, nr) VALUES ($k, 1, 2)",
    "INSERT INTO items (user_id, nr, price) VALUES ($k, $n, DEFAULT), ($k, $n, 5) ON DUPLICATE KEY UPDATE items.price = items.price + VALUES(price)",
    "INSERT INTO items SET user_id = $k, nr = $n, price = 1 ON DUPLICATE KEY UPDATE price = price + 1",
    "INSERT INTO items (user_id, nr, price) VALUES ($k, $n, 1) AS new ON DUPLICATE KEY UPDATE price = new.price + 7",
    "INSERT INTO items (user_id, nr, price) VALUES ($k, $n, 1) AS items ON DUPLICATE KEY UPDATE price = items.price + 7",
    "REPLACE INTO items (price, nr, user_id) VALUES (1, $n, $k), (2, $n, $k), (3, $n, $k)",
    "REPLACE INTO items SET nr = $n, user_id = $k, price = 4",
    "INSERT INTO notes (user_id, word) SELECT user_id, CONCAT('w', n) FROM users WHERE n = $n",
    "INSERT INTO notes (user_id, word) SELECT user_id, 'one' FROM users WHERE user_id = $k AND n < 3",
    "UPDATE users u JOIN orders o ON o.user_id = u.user_id SET u.su = 3, o.price = o.price + 1 WHERE o.nr = $n",
    "UPDATE users u LEFT JOIN orders o ON o.user_id = u.user_id SET u.su = 4 WHERE o.nr IS NULL AND u.n = $n",
    "UPDATE orders o, users u SET o.price = u.n WHERE o.user_id = u.user_id AND u.user_id = $k AND u.n = 3",
    "UPDATE users SET user_id = $k WHERE user_id = $k",
    "UPDATE users u SET u.USER_ID = $k WHERE n = 3",
    "UPDATE users JOIN places ON places.place = users.su SET users.ti = 1 WHERE places.place = 1",
    "UPDATE users JOIN places ON places.place = users.su SET places.name = 'x' WHERE users.n = 1",
    "UPDATE users SET ti = (SELECT MAX(nr) FROM orders o WHERE o.user_id = users.user_id) WHERE n = $n",
    "UPDATE users SET su = su + 1 WHERE user_id = $k ORDER BY n LIMIT 1",
    "UPDATE users SET su = 1 ORDER BY n LIMIT 1",
    "UPDATE IGNORE users SET n = n + 1 WHERE user_id = $k ORDER BY n DESC",
    "UPDATE orders SET price = price + 1, note = 'x'",
    "UPDATE orders SET price = 1 WHERE user_id IN (SELECT user_id FROM users WHERE n = $n)",
    "UPDATE orders SET price = 1 WHERE user_id = $x",
    "DELETE FROM items WHERE user_id = $x",
    "DELETE FROM items WHERE items.user_id = $k AND items.nr > 3",
    "DELETE FROM items WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = items.user_id)",
    "DELETE FROM items WHERE user_id IN (SELECT user_id FROM users WHERE n > 9)",
    "DELETE FROM items WHERE EXISTS (SELECT 1 FROM places AS items_0 WHERE items_0.place = items.nr)",
    "DELETE i FROM items i JOIN orders o ON o.user_id = i.user_id AND o.nr = i.nr WHERE o.nr = $n",
    "DELETE o, i FROM orders o LEFT JOIN items i ON i.user_id = o.user_id WHERE o.nr = 8 AND o.user_id = $k",
    "DELETE FROM i USING items i JOIN users u ON u.user_id = i.user_id WHERE u.n = 3 AND i.nr < 2",
    "DELETE FROM users WHERE user_id = $k ORDER BY n LIMIT 1",
    "DELETE FROM users ORDER BY n LIMIT 1",
    "DELETE FROM users WHERE n = 11 AND user_id BETWEEN $k AND $k",
    "DELETE FROM notes WHERE user_id IN (SELECT user_id FROM users WHERE user_id = $k)",
];

/// Fills in the shapes.
pub struct Shapes<'a> {
    pub random: &'a mut Random,
    pub key: &'a mut dyn FnMut(&mut Random) -> String,
}

/// A table in a FROM clause: its alias, and a column beside the key. `places` has no key.
type Source = (String, &'static str, bool);

impl Shapes<'_> {
    fn pick(&mut self, of: &'static [&'static str]) -> &'static str {
        of[self.random.below(of.len())]
    }

    fn field(&mut self, fits: fn(&Field) -> bool) -> &'static str {
        let fields: Vec<_> = FIELDS.iter().filter(|field| fits(field)).collect();
        fields[self.random.below(fields.len())].name
    }

    /// A shape with all that it leaves open; `$o`, `$a` and `$p` are the same field wherever they stand. Of
    /// `$p` equal values are the same.
    fn filled(&mut self, shape: &str) -> String {
        let is_one =
            |field: &Field| field.orders && !matches!(field.name, "c" | "v" | "vb" | "vl" | "vu" | "x");
        let plain = self.field(is_one);
        let (orders, adds) = (self.field(|field| field.orders), self.field(|field| field.adds));
        let mut sql = String::new();
        let mut rest = shape;
        while let Some(at) = rest.find('$') {
            sql.push_str(&rest[..at]);
            let part = match &rest[at + 1..at + 2] {
                "k" => (self.key)(self.random),
                "x" => self.pick(ODD).to_owned(),
                "n" => self.random.below(12).to_string(),
                "o" => orders.to_owned(),
                "p" => plain.to_owned(),
                "a" => adds.to_owned(),
                "w" if self.random.below(2) == 0 => String::new(),
                "w" => format!(" WHERE {}", self.condition()),
                other => panic!("{other} in {shape}"),
            };
            sql.push_str(&part);
            rest = &rest[at + 2..];
        }
        sql + rest
    }

    fn condition(&mut self) -> String {
        let shape = self.pick(CONDITIONS);
        let condition = self.filled(shape);
        match self.random.below(8) {
            0 => format!("{condition} OR n = 2"),
            1 => format!("n < 9 AND {condition}"),
            2 => format!("NOT ({condition}\n)"),
            _ => condition,
        }
    }

    pub fn read(&mut self) -> Said {
        match self.random.below(10) {
            6..=9 => {
                let shapes = if self.random.below(4) == 0 { UNIONS } else { GROUPS };
                let shape = self.pick(shapes);
                let ordered = shape.starts_with('!');
                Said { sql: self.filled(shape.trim_start_matches('!')), ordered }
            }
            0 | 1 => {
                let shape = self.pick(READS);
                let ordered = shape.starts_with('!');
                Said { sql: self.filled(shape.trim_start_matches('!')), ordered }
            }
            2 | 3 => {
                let what =
                    self.pick(&["user_id, n", "COUNT(*), SUM(n)", "DISTINCT user_id", "MAX(user_id), n % 2"]);
                let group = if what.starts_with("MAX") { "\n GROUP BY n % 2" } else { "" };
                let what = if what.starts_with("MAX") { "n % 2, COUNT(*)" } else { what };
                Said {
                    sql: format!("SELECT {what} FROM users WHERE {}{group}", self.condition()),
                    ordered: false,
                }
            }
            _ => self.join(),
        }
    }

    pub fn write(&mut self) -> Said {
        let shape = self.pick(WRITES);
        Said { sql: self.filled(shape), ordered: false }
    }

    fn leaf(&mut self, sources: &mut Vec<Source>) -> String {
        let alias = format!("t{}", sources.len());
        let (table, column) = [
            ("users", "n"),
            ("orders", "nr"),
            ("items", "nr"),
            ("users", "n"),
            ("places", "place"),
            ("notes", "word"),
        ][self.random.below(6)];
        let text = format!("{table} {alias}");
        sources.push((alias, column, table != "places"));
        text
    }

    fn tree(&mut self, depth: usize, sources: &mut Vec<Source>) -> String {
        let first = sources.len();
        let mut text = self.leaf(sources);
        for _ in 0..depth.min(1 + self.random.below(2)) {
            let middle = sources.len();
            let right = match self.random.below(3) {
                0 if depth > 1 => format!("({})", self.tree(depth - 1, sources)),
                _ => self.leaf(sources),
            };
            let kind = self.pick(&["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN"]);
            let mut on = self.link(&sources[first..middle], &sources[middle..]);
            if self.random.below(3) == 0 {
                on += &format!(" AND {}", self.about(&sources[first..], 6));
            }
            text = format!("{text} {kind} {right} ON {on}");
        }
        text
    }

    fn one<'s>(&mut self, of: &'s [Source]) -> &'s Source {
        &of[self.random.below(of.len())]
    }

    /// How two sides of a join belong together.
    fn link(&mut self, left: &[Source], right: &[Source]) -> String {
        let (left, right) = (self.one(left).clone(), self.one(right).clone());
        match left.2 && right.2 && self.random.below(9) > 0 {
            true => format!("{}.user_id = {}.user_id", left.0, right.0),
            false => format!("{}.{} = {}.{} + 0", left.0, left.1, right.0, right.1),
        }
    }

    /// A condition on one or two tables, of the first `kinds`: MySQL 9.7 itself finds rows several times where an outer join's ON
    /// has EXISTS.
    fn about(&mut self, sources: &[Source], kinds: usize) -> String {
        let (one, other) = (self.one(sources).clone(), self.one(sources).clone());
        let key = (self.key)(self.random);
        match (one.2, self.random.below(kinds)) {
            (true, 0..=2) => format!("{}.user_id = {key}", one.0),
            (true, 3) => format!("{}.user_id IS NULL", one.0),
            (true, 4) if other.2 => format!("{}.user_id = {}.user_id", one.0, other.0),
            (true, 5) => format!("({}.user_id = {key} OR {}.{} IS NULL)", one.0, other.0, other.1),
            (true, 6) => format!("EXISTS (SELECT 1 FROM orders z WHERE z.user_id = {}.user_id)", one.0),
            (_, 7) => format!("{}.{} IS NULL", one.0, one.1),
            _ => format!("{}.{} < 7", one.0, one.1),
        }
    }

    fn join(&mut self) -> Said {
        let mut sources = Vec::new();
        let from = self.tree(2, &mut sources);
        let columns: Vec<_> = sources.iter().map(|(alias, column, _)| format!("{alias}.{column}")).collect();
        let mut filter = Vec::new();
        for _ in 0..self.random.below(3) {
            filter.push(self.about(&sources, 8));
        }
        let filter =
            if filter.is_empty() { String::new() } else { format!(" WHERE {}", filter.join(" AND ")) };
        let counts: Vec<_> =
            sources.iter().map(|(alias, column, _)| format!("COUNT({alias}.{column})")).collect();
        let what = if self.random.below(2) == 0 { columns.join(", ") } else { counts.join(", ") };
        Said { sql: format!("SELECT {what} FROM {from}{filter}"), ordered: false }
    }
}
