"""What every driver that speaks Python's DB-API (PEP 249) is asked to do.

Such a driver turns autocommit off when it connects, so every statement here that is not followed by a commit is in a
transaction.
"""

import contextlib
import sys
import threading

from telling import expect, say

# A row of this many bytes needs a second packet.
LONG_BLOB = 17 * 1024 * 1024
# Seconds that a statement may wait for a lock where it is to get none.
LOCK_WAIT_S = 1


class Client:
    """A driver, an account and an empty database; prints all that the driver tells."""

    def __init__(self, connect, error, account):
        self.driver_connect = connect
        self.error = error
        # What a file that can't be read leads to.
        self.file_errors = (*(error if isinstance(error, tuple) else (error,)), OSError)
        self.account = account

    def connect(self, **options):
        """A connection for a `with` statement, which closes it."""
        return contextlib.closing(self.driver_connect(**{**self.account, **options}))

    def run(self, connection, sql, arguments=None, cursor=None):
        """Runs a statement with one result, returns the rows."""
        print("--", ascii(sql))
        cursor = cursor or connection.cursor()
        cursor.execute(sql, arguments)
        rows = self.tell(connection, cursor)
        cursor.close()
        return rows

    def tell(self, connection, cursor):
        say("rows", cursor.rowcount, "id", cursor.lastrowid)
        for column in cursor.description or ():
            say("column", *column)
        rows = list(cursor.fetchall()) if cursor.description else []
        for row in rows:
            say(*(row.values() if isinstance(row, dict) else row))
        say("warnings", self.warning_count(connection, cursor))
        return rows

    def warning_count(self, connection, cursor):
        """How many warnings the driver was told of; drivers differ in where they keep it."""
        raise NotImplementedError

    def query(self, connection, sql, arguments=None):
        """Runs a statement and returns the rows, without a word."""
        cursor = connection.cursor()
        cursor.execute(sql, arguments)
        rows = list(cursor.fetchall()) if cursor.description else []
        cursor.close()
        return rows

    def several(self, connection, sql, arguments=None):
        """As run(), for a statement with several results, which may end in an error."""
        print("--", ascii(sql))
        cursor = connection.cursor()
        try:
            cursor.execute(sql, arguments)
            self.tell(connection, cursor)
            while cursor.nextset():
                self.tell(connection, cursor)
        except self.error as error:
            self.say_error(error)
        cursor.close()

    def refused(self, connection, codes, sql, arguments=None):
        """Runs a statement that has to fail with one of the codes: servers differ."""
        print("--", ascii(sql))
        cursor = connection.cursor()
        try:
            cursor.execute(sql, arguments)
            expect(False, f"{sql} should fail")
        except self.error as error:
            self.say_error(error)
            expect(error.args[0] in codes, f"{sql} should fail with {codes}, not {error.args}")
        finally:
            cursor.close()

    @staticmethod
    def say_error(error):
        say(type(error).__name__, *error.args, getattr(error, "sqlstate", None))


def run_sections(sections, client):
    for section in sections:
        print(f"== {section.__name__}")
        section(client)
        sys.stdout.flush()


def odd_types(client):
    """Values that a driver's own types have no place for."""
    with client.connect() as connection:
        client.run(connection, "SET sql_mode = 'ALLOW_INVALID_DATES'")
        client.run(connection, """CREATE TABLE odd (id INT PRIMARY KEY, day DATE, moment DATETIME, micro DATETIME(6),
            stamp TIMESTAMP NULL, hours TIME(6), in_year YEAR, ratio DECIMAL(65, 30), flag BIT(64))""")
        client.run(connection, """INSERT INTO odd VALUES
            (1, '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '-838:59:59', 0, 0, 0),
            (2, '2024-00-00', '2024-02-31', '2024-02-31 23:59:59.999999', NULL, '838:59:58.999999', 2155,
             -0.000000000000000000000000000001, ~0)""")
        for column in ["day", "moment", "micro", "stamp", "hours", "in_year", "ratio", "flag"]:
            try:
                client.run(connection, f"SELECT id, {column} FROM odd ORDER BY id")
            except (ValueError, TypeError) as error:
                say("the driver's own error", type(error).__name__, str(error))
        client.run(connection, "SELECT id, CAST(day AS CHAR), CAST(moment AS CHAR), micro + 0 FROM odd ORDER BY id")
        client.run(connection, "DROP TABLE odd")


def places(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE places (id INT PRIMARY KEY, spot POINT NOT NULL, shape GEOMETRY)")
        client.run(connection, """INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1.5 -2.25)'),
            ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))')),
            (2, ST_GeomFromText('POINT(0 0)'), NULL)""")
        # Bytes that are no text in any encoding.
        client.run(connection, "SELECT id, HEX(ST_AsBinary(spot)), ST_AsText(shape) FROM places ORDER BY id")
        client.run(connection, "SELECT spot, shape FROM places ORDER BY id")
        client.run(connection, "DROP TABLE places")


def isolation(client):
    """What a transaction sees of another's changes depends on its level, which must be its own."""
    with client.connect() as writer, client.connect() as reader:
        client.run(writer, "CREATE TABLE levels (id INT PRIMARY KEY, a INT)")
        for level in ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ"]:
            client.query(writer, "INSERT INTO levels VALUES (1, 0)")
            writer.commit()
            client.run(reader, f"SET TRANSACTION ISOLATION LEVEL {level}")
            client.run(reader, "START TRANSACTION")
            seen = [client.query(reader, "SELECT a FROM levels")]
            client.query(writer, "UPDATE levels SET a = 1")
            seen.append(client.query(reader, "SELECT a FROM levels"))
            writer.commit()
            seen.append(client.query(reader, "SELECT a FROM levels"))
            reader.rollback()
            seen.append(client.query(reader, "SELECT a FROM levels"))
            reader.rollback()
            say(level, *(row[0][0] for row in seen))
            client.query(writer, "DELETE FROM levels")
            writer.commit()
        client.run(reader, "SET SESSION TRANSACTION READ ONLY")
        client.refused(reader, [1792], "INSERT INTO levels VALUES (2, 2)")
        reader.rollback()
        client.run(reader, "SET SESSION TRANSACTION READ WRITE")
        client.run(reader, "START TRANSACTION READ ONLY")
        client.refused(reader, [1792], "INSERT INTO levels VALUES (2, 2)")
        reader.rollback()
        client.run(reader, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        client.query(writer, "INSERT INTO levels VALUES (3, 3)")
        writer.commit()
        expect(client.query(reader, "SELECT * FROM levels") == [], "the snapshot is older than the row")
        reader.rollback()
        client.run(writer, "DROP TABLE levels")


def locks(client):
    with client.connect() as one, client.connect() as other:
        client.run(one, "CREATE TABLE locked (id INT PRIMARY KEY, a INT)")
        client.run(one, "INSERT INTO locked VALUES (1, 0), (2, 0), (3, 0), (4, 0)")
        one.commit()
        client.run(other, f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_S}")
        client.run(one, "SELECT * FROM locked WHERE id = 1 FOR UPDATE")
        client.refused(other, [1205], "UPDATE locked SET a = 1 WHERE id = 1")
        client.refused(other, [1205, 3572], "SELECT * FROM locked WHERE id = 1 FOR UPDATE NOWAIT")
        client.run(other, "SELECT * FROM locked ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED")
        one.rollback()
        other.rollback()
        client.run(one, "SELECT GET_LOCK('drivers', 0)")
        client.run(other, "SELECT GET_LOCK('drivers', 0), IS_FREE_LOCK('drivers')")
        client.run(one, "SELECT RELEASE_LOCK('drivers')")
        client.run(other, "SELECT GET_LOCK('drivers', 0), RELEASE_LOCK('drivers')")
        deadlock(client, one, other)
        one.commit()
        other.commit()
        client.run(one, "DROP TABLE locked")


def deadlock(client, one, other):
    """Each waits for the other; the server gives up the transaction that has changed less."""
    client.run(other, "SET SESSION innodb_lock_wait_timeout = 30")
    for row in [1, 3, 4]:
        client.query(one, "UPDATE locked SET a = a + 1 WHERE id = %s", (row,))
    client.query(other, "UPDATE locked SET a = a + 1 WHERE id = 2")
    waiting = threading.Thread(target=client.query, args=(one, "UPDATE locked SET a = a + 1 WHERE id = 2"))
    waiting.start()
    client.refused(other, [1213], "UPDATE locked SET a = a + 1 WHERE id = 1")
    waiting.join()
    other.rollback()
    client.run(one, "SELECT * FROM locked ORDER BY id")


def generated_ids(client):
    with client.connect() as connection:
        client.run(connection, """CREATE TABLE ids (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10) UNIQUE,
            a INT DEFAULT 0)""")
        client.run(connection, "INSERT INTO ids (name) VALUES ('one'), ('two'), ('three')")
        client.run(connection, "SELECT LAST_INSERT_ID()")
        client.run(connection, "INSERT INTO ids (name) VALUES ('two') ON DUPLICATE KEY UPDATE a = a + 1")
        client.run(connection, """INSERT INTO ids (name) VALUES ('one')
            ON DUPLICATE KEY UPDATE a = a + 1, id = LAST_INSERT_ID(id)""")
        client.run(connection, "REPLACE INTO ids (name, a) VALUES ('three', 3)")
        client.run(connection, "INSERT IGNORE INTO ids (name) VALUES ('one')")
        client.run(connection, "UPDATE ids SET a = LAST_INSERT_ID(a + 100) WHERE name = 'one'")
        client.run(connection, "SELECT LAST_INSERT_ID()")
        client.run(connection, "UPDATE ids SET a = 101 WHERE name = 'one'")
        client.run(connection, "SELECT ROW_COUNT()")
        client.run(connection, "DELETE FROM ids WHERE a > 1")
        client.run(connection, "TRUNCATE TABLE ids")
        client.run(connection, "INSERT INTO ids (name) VALUES ('anew')")
        connection.commit()
        client.run(connection, "SELECT * FROM ids")
        client.run(connection, "DROP TABLE ids")


def warnings(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE warned (id INT PRIMARY KEY, name VARCHAR(5))")
        connection.commit()
        client.run(connection, "SELECT 1 / 0, CAST('12 apples' AS SIGNED)")
        client.run(connection, "SHOW WARNINGS")
        client.run(connection, "INSERT IGNORE INTO warned VALUES (1, 'much too long'), (1, 'twice')")
        client.run(connection, "SHOW WARNINGS")
        client.run(connection, "SHOW COUNT(*) WARNINGS")
        client.run(connection, "DROP TABLE IF EXISTS no_such_table")
        client.run(connection, "SHOW WARNINGS LIMIT 1")
        client.refused(connection, [1365, 1406], "INSERT INTO warned VALUES (2, 'much too long')")
        client.run(connection, "SHOW ERRORS")
        client.run(connection, "SELECT 'nothing to complain of'")
        client.run(connection, "SHOW WARNINGS")
        client.run(connection, "DROP TABLE warned")


def procedures(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE called (id INT AUTO_INCREMENT PRIMARY KEY, a INT)")
        client.run(connection, """CREATE PROCEDURE both_ways(IN a INT, OUT doubled INT, INOUT sum BIGINT)
            BEGIN INSERT INTO called (a) VALUES (a); SET doubled = a * 2, sum = sum + a;
            SELECT id, a FROM called; SELECT 'second' AS name, doubled; END""")
        client.run(connection, "CREATE PROCEDURE failing() BEGIN SELECT 1; SELECT * FROM no_such_table; END")
        client.run(connection, "CREATE PROCEDURE quiet() BEGIN UPDATE called SET a = a + 1; END")
        client.run(connection, "CREATE FUNCTION half(a INT) RETURNS DECIMAL(10,2) DETERMINISTIC RETURN a / 2")
        for number in [21, -3]:
            client.several(connection, "SET @sum = 100")
            client.several(connection, "CALL both_ways(%s, @doubled, @sum)", (number,))
            client.run(connection, "SELECT @doubled, @sum")
        client.several(connection, "CALL quiet()")
        client.several(connection, "CALL failing()")
        client.run(connection, "SELECT half(a) FROM called ORDER BY id")
        client.refused(connection, [1305], "CALL no_such_procedure()")
        client.refused(connection, [1318], "CALL both_ways(1)")
        connection.commit()
        for name in ["PROCEDURE both_ways", "PROCEDURE failing", "PROCEDURE quiet", "FUNCTION half", "TABLE called"]:
            client.run(connection, f"DROP {name}")


def long_blobs(client):
    body = bytes(range(256)) * (LONG_BLOB // 256)
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE blobs (id INT PRIMARY KEY, body LONGBLOB)")
        client.query(connection, "INSERT INTO blobs VALUES (%s, %s)", (1, body))
        connection.commit()
        client.run(connection, "SELECT id, LENGTH(body), SHA2(body, 256) FROM blobs")
        rows = client.query(connection, "SELECT body, id, body FROM blobs")
        expect(len(rows) == 1 and rows[0] == (body, 1, body), "the blob comes back")
        client.run(connection, "DROP TABLE blobs")


def text_prepared(client):
    """The SQL form of prepared statements, which lives in the session."""
    with client.connect() as connection, client.connect() as other:
        client.run(connection, "PREPARE added FROM 'SELECT ? + ? AS sum, ? AS text'")
        client.run(connection, "SET @a = 1, @b = 2.5, @c = 'three'")
        client.run(connection, "EXECUTE added USING @a, @b, @c")
        client.refused(other, [1243], "EXECUTE added USING @a, @b, @c")
        client.run(connection, "EXECUTE added USING @c, @b, @a")
        client.refused(connection, [1210], "EXECUTE added USING @a")
        client.run(connection, "DEALLOCATE PREPARE added")
        client.refused(connection, [1243], "EXECUTE added USING @a, @b, @c")


SHARED = [odd_types, places, isolation, locks, generated_ids, warnings, procedures, long_blobs, text_prepared]
