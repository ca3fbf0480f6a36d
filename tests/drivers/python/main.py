"""PyMySQL, as an application uses it: prints what it saw, exits non-zero when that is not what it should have seen.

Usage: main.py HOST PORT USER PASSWORD DATABASE [extras]

The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
PyMySQL turns autocommit off when it connects, so every statement here that is not followed by a commit is in a
transaction.
"""

import sys
import threading

import pymysql
from pymysql.constants import CLIENT, SERVER_STATUS
from pymysql.cursors import DictCursor, SSCursor

import columns
import dbapi
import extras
from telling import digest, expect, say

THREADS = 8
STATEMENTS_PER_THREAD = 50
STREAMED_ROWS = 20_000
# The row of a string of this length fills a packet to its last byte, so an empty packet has to follow.
FULL_PACKET = 0xFFFFFF - 4


def main():
    host, port, user, password, database = sys.argv[1:6]
    account = {"host": host, "port": int(port), "user": user, "password": password}

    def connect(**options):
        return pymysql.connect(**{**account, "database": database, **options})

    client = Client(pymysql.connect, pymysql.MySQLError, {**account, "database": database})
    if sys.argv[6:]:
        dbapi.run_sections(extras.SECTIONS, client)
        return
    for section in SECTIONS:
        print(f"== {section.__name__}")
        section(connect)
    dbapi.run_sections(dbapi.SHARED, client)


def greeting(connect):
    with connect() as connection:
        say(connection.get_server_info(), connection.get_proto_info(), connection.character_set_name())
        run(connection, "SELECT VERSION(), DATABASE(), CURRENT_USER(), USER()")
        run(connection, "SELECT @@character_set_client, @@collation_connection, @@autocommit, @@sql_mode")
    with connect(database=None) as connection:
        run(connection, "SELECT DATABASE()")


def types(connect):
    with connect() as connection:
        run(connection, f"CREATE TABLE types (id INT PRIMARY KEY, {columns.definitions()})")
        for number, row in enumerate(columns.ROWS):
            names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
            run(connection, f"INSERT INTO types (id, {names}) VALUES ({number}, {marks})", list(row.values()))
        connection.commit()
        seen = run(connection, "SELECT * FROM types ORDER BY id", cursor=DictCursor)
        expect(len(seen) == len(columns.ROWS), "a row for each that was inserted")
        for sent, got in zip(columns.ROWS, seen):
            for name, value in sent.items():
                expect(columns.same(name, value, got[name]), f"{name}: {value!r} became {got[name]!r}")
        run(connection, "SELECT 1 WHERE 1 = 0")
        run(connection, "SELECT '', NULL, '' UNION ALL SELECT 'a', 'b', NULL")
        run(connection, "DROP TABLE types")


def unicode(connect):
    words = ["Grüße", "żółć", "Ελλάδα", "日本語", "עברית", "👍🏽👨‍👩‍👧‍👦",
             "it's \"quoted\" \\ and\0zero\n\r\x1a"]
    with connect() as connection:
        run(connection, "CREATE TABLE words (id INT PRIMARY KEY, word VARCHAR(100), `größe` INT)")
        for number, word in enumerate(words):
            run(connection, "INSERT INTO words VALUES (%s, %s, CHAR_LENGTH(word))", (number, word))
        rows = run(connection, "SELECT word, `größe` FROM words ORDER BY id")
        expect([row[0] for row in rows] == words, "words come back as they were sent")
        for word in words:
            run(connection, "SELECT id FROM words WHERE word = %s", (word,))
        run(connection, "DROP TABLE words")
    with connect(charset="latin1") as connection:
        run(connection, "SELECT 'Grüße', HEX('Grüße'), @@character_set_client, @@character_set_results")
        connection.set_charset("utf8mb4")
        run(connection, "SELECT '👍', HEX('👍'), @@character_set_client, @@character_set_results")


def transactions(connect):
    with connect() as writer, connect() as reader:
        reader.autocommit(True)
        run(writer, "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)")

        def money():
            return run(reader, "SELECT * FROM accounts ORDER BY id")

        run(writer, "INSERT INTO accounts VALUES (1, 100), (2, 50)")
        say("in a transaction", in_transaction(writer))
        expect(money() == (), "nobody sees what is not committed")
        writer.commit()
        say("in a transaction", in_transaction(writer))
        expect(money() == ((1, 100), (2, 50)), "everybody sees what is committed")
        run(writer, "UPDATE accounts SET money = money - 30 WHERE id = 1")
        run(writer, "SAVEPOINT half")
        run(writer, "UPDATE accounts SET money = money + 30 WHERE id = 2")
        run(writer, "ROLLBACK TO SAVEPOINT half")
        expect(run(writer, "SELECT SUM(money) FROM accounts")[0][0] == 120, "half of it is there")
        writer.rollback()
        expect(money() == ((1, 100), (2, 50)), "nothing of it is left")
        writer.autocommit(True)
        writer.begin()
        run(writer, "DELETE FROM accounts")
        writer.rollback()
        run(writer, "UPDATE accounts SET money = 7 WHERE id = 2")
        expect(money() == ((1, 100), (2, 7)), "outside a transaction it is there at once")
        run(writer, "DROP TABLE accounts")


def in_transaction(connection):
    return bool(connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)


def many(connect):
    with connect() as connection:
        run(connection, "CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(20))")
        with connection.cursor() as cursor:
            rows = [(number, f"row {number}") for number in range(1000)]
            say(cursor.executemany("INSERT INTO many (a, b) VALUES (%s, %s)", rows), cursor.lastrowid)
            # Not an INSERT … VALUES: PyMySQL sends these one by one.
            changes = [(f"changed {number}", number) for number in range(0, 1000, 50)]
            say(cursor.executemany("UPDATE many SET b = %s WHERE a = %s", changes))
        connection.commit()
        run(connection, "SELECT COUNT(*), SUM(a), MIN(id), MAX(id), SUM(b LIKE 'changed%%') FROM many", ())
        run(connection, "INSERT INTO many (a) VALUES (1), (2)")
        say(connection.insert_id(), connection.affected_rows())
        run(connection, "SELECT LAST_INSERT_ID(), ROW_COUNT()")
        run(connection, "UPDATE many SET a = a WHERE id < 100")
        run(connection, "DROP TABLE many")


def errors(connect):
    with connect() as connection:
        run(connection, "CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)")
        run(connection, "INSERT INTO errors VALUES (1, 'one')")
        refused(connection, 1062, "INSERT INTO errors VALUES (1, 'eins')")
        refused(connection, 1064, "SELEKT 'zwei' FROM errors")
        refused(connection, 1064, "SELECT 1; SELECT 2")
        refused(connection, 1146, "SELECT * FROM no_such_table")
        refused(connection, 1054, "SELECT `no such column ü` FROM errors")
        refused(connection, 1048, "INSERT INTO errors VALUES (2, NULL)")
        refused(connection, 1406, "INSERT INTO errors VALUES (2, 'too long')")
        refused(connection, 1049, "USE no_such_database")
        # An error does not end the transaction.
        expect(run(connection, "SELECT * FROM errors") == ((1, "one"),), "the row is still there")
        run(connection, "SELECT CAST('12 apples' AS SIGNED), 1 / 0")
        # Another statement, which has to reach the session that had the warnings.
        for warning in connection.show_warnings():
            say("warning", *warning)
        run(connection, "DROP TABLE errors")


def streaming(connect):
    with connect() as connection:
        run(connection, "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))")
        with connection.cursor() as cursor:
            rows = [(number, f"{number:06}" * (number % 30)) for number in range(STREAMED_ROWS)]
            cursor.executemany("INSERT INTO streamed VALUES (%s, %s)", rows)
        connection.commit()
        with connection.cursor(SSCursor) as cursor:
            cursor.execute("SELECT id, body FROM streamed ORDER BY id")
            say(cursor.fetchone(), cursor.fetchmany(2))
            seen = digest()
            count = 3
            for row in cursor.fetchall_unbuffered():
                seen.update(repr(row).encode())
                count += 1
            say(count, seen.hexdigest())
            expect(count == STREAMED_ROWS, "all rows come")
        with connection.cursor(SSCursor) as cursor:
            cursor.execute("SELECT id, body FROM streamed ORDER BY id DESC")
            say(cursor.fetchmany(3))
        # The cursor that was closed early has read the rest away.
        run(connection, "SELECT COUNT(*) FROM streamed")
        run(connection, "DROP TABLE streamed")


def long_packets(connect):
    with connect() as connection:
        for length in [FULL_PACKET - 1, FULL_PACKET, FULL_PACKET + 1]:
            text = query(connection, "SELECT REPEAT('a', %s)", (length,))[0][0]
            say("row", length, text == "a" * length)
            expect(len(text) == length, f"{length} bytes come")
        sql = "SELECT LENGTH('%s')"
        for length in [FULL_PACKET, 2 * FULL_PACKET]:
            text = "b" * (length - len(sql))
            expect(query(connection, sql % text) == ((len(text),),), f"{length} bytes go")
            say("statement", length)


def commands(connect):
    with connect() as connection:
        connection.ping(reconnect=False)
        database = query(connection, "SELECT DATABASE()")[0][0]
        other = f"{database}_other"
        run(connection, f"CREATE DATABASE `{other}` CHARACTER SET utf8mb4")
        run(connection, "CREATE TABLE here (a INT)")
        connection.select_db(other)
        run(connection, "CREATE TABLE there (a INT)")
        run(connection, "SELECT DATABASE()")
        run(connection, "SHOW TABLES")
        connection.ping(reconnect=False)
        connection.select_db(database)
        run(connection, "SELECT DATABASE()")
        run(connection, "SHOW TABLES")
        run(connection, f"USE `{other}`")
        run(connection, "SHOW TABLES")
        run(connection, f"DROP DATABASE `{other}`")
        run(connection, "SELECT DATABASE()")
        connection.select_db(database)
        run(connection, "DROP TABLE here")
        try:
            connection.select_db("no_such_database")
            expect(False, "there is no such database")
        except pymysql.err.OperationalError as error:
            say("select_db", *error.args)
        connection.ping(reconnect=False)
    expect(not connection.open, "the connection is closed")


def session_state(connect):
    with connect() as connection, connect() as other:
        run(connection, "SET @mine = 'kept', time_zone = '+05:30', sql_mode = 'ANSI_QUOTES'")
        run(connection, "CREATE TEMPORARY TABLE scratch (a INT)")
        run(connection, "INSERT INTO scratch VALUES (1), (2)")
        connection.commit()
        run(other, "SELECT @mine, @@time_zone, @@sql_mode")
        refused(other, 1146, "SELECT * FROM scratch")
        run(connection, "SELECT @mine, @@time_zone, @@sql_mode, FROM_UNIXTIME(86400)")
        run(connection, 'SELECT COUNT(*) AS "a ""quoted"" name" FROM "scratch"')


def multi_statements(connect):
    with connect(client_flag=CLIENT.MULTI_STATEMENTS) as connection:
        several(connection, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4")
        several(connection, "CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO multi VALUES (), ();"
                            "SELECT * FROM multi; UPDATE multi SET id = id + 10; SELECT * FROM multi WHERE id > 10")
        several(connection, "SELECT 1; SELECT * FROM no_such_table; SELECT 2")
        run(connection, "SELECT 'still in step'")
        # Result sets that nobody asked for are read away.
        run(connection, "SELECT 1; SELECT 2; SELECT 3")
        run(connection, "SELECT 'still in step'")
        several(connection, "START TRANSACTION; DELETE FROM multi; ROLLBACK; SELECT COUNT(*) FROM multi")
        several(connection, "DROP TABLE multi")


def threads(connect):
    with connect() as connection:
        run(connection, "CREATE TABLE threads (thread INT, step INT, body VARCHAR(50), PRIMARY KEY (thread, step))")
    lines, failures = [None] * THREADS, []

    def work(thread):
        try:
            lines[thread] = one_thread(connect, thread)
        except BaseException as error:
            failures.append(f"thread {thread}: {error!r}")

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expect(not failures, "; ".join(failures))
    for line in lines:
        say(*line)
    with connect() as connection:
        run(connection, "SELECT thread, COUNT(*), SUM(step), MIN(body), MAX(body) FROM threads GROUP BY thread")
        run(connection, "DROP TABLE threads")


def one_thread(connect, thread):
    """A connection with state of its own, in statements that others must not disturb. Returns what it saw."""
    seen = digest()
    with connect() as connection:
        query(connection, "SET @thread = %s", (thread,))
        for step in range(STATEMENTS_PER_THREAD // 2):
            query(connection, "INSERT INTO threads VALUES (%s, %s, %s)", (thread, step, f"{thread}/{step}"))
            sql = "SELECT body, @thread FROM threads WHERE thread = %s AND step = %s"
            rows = query(connection, sql, (thread, step))
            expect(rows == ((f"{thread}/{step}", thread),), f"thread {thread} got {rows!r}")
            seen.update(repr(rows).encode())
            # Committed at other moments in every thread.
            if step % (thread + 2) == 0:
                connection.commit()
        connection.commit()
    return thread, seen.hexdigest()


def run(connection, sql, arguments=None, cursor=None):
    """Runs a statement, prints all that PyMySQL tells about it, returns the rows."""
    with connection.cursor(cursor) as cursor:
        cursor.execute(sql, arguments)
        print("--", ascii(sql))
        rows = tell(cursor)
        say("warnings", cursor._result.warning_count)
        return rows


def several(connection, sql):
    """As run(), for a statement with several results."""
    print("--", ascii(sql))
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql)
            tell(cursor)
            while cursor.nextset():
                tell(cursor)
        except pymysql.MySQLError as error:
            say(type(error).__name__, *error.args)
    connection.commit()


def tell(cursor):
    say("rows", cursor.rowcount, "id", cursor.lastrowid)
    for column in cursor.description or ():
        say("column", *column)
    rows = cursor.fetchall() if cursor.description else ()
    for row in rows:
        say(*(row.values() if isinstance(row, dict) else row))
    return rows


def query(connection, sql, arguments=None):
    """Runs a statement and returns the rows, without a word."""
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchall()


def refused(connection, code, sql):
    try:
        query(connection, sql)
    except pymysql.MySQLError as error:
        say(type(error).__name__, *error.args)
        expect(error.args[0] == code, f"{sql} should fail with {code}, not {error.args}")
    else:
        expect(False, f"{sql} should fail with {code}")


class Extras(extras.Extras):
    local_files = {"local_infile": True}

    def tls(self, authority):
        return {"ssl": {"ca": authority, "check_hostname": False}}

    def wrong_authority(self):
        return pymysql.MySQLError


class Client(dbapi.Client):
    extras = Extras()

    def warning_count(self, connection, cursor):
        return cursor._result.warning_count


SECTIONS = [greeting, types, unicode, transactions, many, errors, streaming, long_packets, commands, session_state,
            multi_statements, threads]

if __name__ == "__main__":
    main()
