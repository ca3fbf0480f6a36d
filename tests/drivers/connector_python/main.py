"""MySQL Connector/Python, as an application uses it: prints what it saw, exits non-zero when that is not what it should
have seen.

Usage: main.py pure|extension HOST PORT USER PASSWORD DATABASE [extras]

The driver has two implementations of the protocol, one in Python and one on MySQL's C library; everything runs with the
one that is named. The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
"""

import sys
import threading

PURE = sys.argv[1] == "pure"
if not PURE:
    # The extension brings an OpenSSL of its own, which has to be there before Python loads the system's.
    import _mysql_connector

import mysql.connector
from mysql.connector import pooling
from mysql.connector.constants import ClientFlag

import columns
import dbapi
import extras
from telling import digest, expect, say

THREADS = 6
STATEMENTS_PER_THREAD = 40
POOL_CONNECTIONS = 4
STREAMED_ROWS = 5000
# The extension can't take greater ones.
LEAST, GREATEST = (-(2**63), 2**64 - 1) if PURE else (-(2**31), 2**31 - 1)
# Parameters of one statement, each time of other types.
PARAMETERS = [(1, 2), ("a", b"\0\xff"), (None, 1.5), (LEAST, GREATEST), ("👍" * 100, ""), (True, None)]


class Extras(extras.Extras):
    local_files = {"allow_local_infile": True}
    no_local_files = {"allow_local_infile": False}
    compressed = {"compress": True}
    # The Python implementation takes a packet only from one or two compressed packets, and Athena makes more of a long one.
    compressed_length = 5_000 if PURE else 20_000_000
    plain = {"ssl_disabled": True}

    def tls(self, authority):
        return {"ssl_ca": authority, "ssl_verify_cert": True}

    def wrong_authority(self):
        return mysql.connector.Error

    def change_user(self, connection, user, password, database):
        connection.cmd_change_user(user, password, database)

    def thread_id(self, connection):
        return connection.connection_id


class Client(dbapi.Client):
    extras = Extras()

    def warning_count(self, connection, cursor):
        return cursor.warning_count


def greeting(client):
    with client.connect() as connection:
        say(connection.server_info, connection.server_version, connection.charset, connection.collation)
        say(connection.autocommit, connection.time_zone, connection.sql_mode, connection.database)
        client.run(connection, "SELECT VERSION(), DATABASE(), CURRENT_USER(), USER()")
        client.run(connection, "SELECT @@character_set_client, @@collation_connection, @@autocommit, @@sql_mode")
    with client.connect(database=None, autocommit=True, sql_mode="ANSI_QUOTES", time_zone="+05:30", charset="latin1",
                        collation="latin1_german1_ci", use_unicode=True) as connection:
        client.run(connection, "SELECT DATABASE(), @@sql_mode, @@time_zone, @@collation_connection, 'Grüße'")
        connection.set_charset_collation("utf8mb4", "utf8mb4_bin")
        client.run(connection, "SELECT @@collation_connection, '👍'")
    for raw in [False, True]:
        with client.connect(raw=raw) as connection:
            client.run(connection, "SELECT 1, 'text', x'00ff', 1.50, DATE '2024-02-29', NULL")


def types(client):
    with client.connect(autocommit=True) as connection:
        client.run(connection, f"CREATE TABLE types (id INT PRIMARY KEY, {columns.definitions()})")
        for prepared in [False, True]:
            for number, row in enumerate(columns.ROWS):
                names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
                sql = f"INSERT INTO types (id, {names}) VALUES ({number}, {marks})"
                alone(client, sql, list(row.values()), prepared)
            seen = client.run(connection, "SELECT * FROM types ORDER BY id")
            expect(prepared or len(seen) == len(columns.ROWS), "a row for each that was inserted")
            for name in columns.COLUMNS:
                alone(client, f"SELECT id, {name} FROM types ORDER BY id", None, True)
            client.run(connection, "TRUNCATE TABLE types")
        client.run(connection, "DROP TABLE types")


def alone(client, sql, arguments, prepared):
    """Runs a statement on a connection of its own: some values are too much for the driver, which then is out of step."""
    with client.connect(autocommit=True) as connection:
        try:
            client.run(connection, sql, arguments, connection.cursor(prepared=prepared))
        except (*client.error, RuntimeError, IndexError) as error:
            say(type(error).__name__, str(error))


def prepared(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE prepared (id INT AUTO_INCREMENT PRIMARY KEY, a TEXT, b LONGBLOB)")
        cursor = connection.cursor(prepared=True)
        for pair in PARAMETERS:
            cursor.execute("SELECT %s AS a, ? AS b", pair)
            client.tell(connection, cursor)
        for number, pair in enumerate(PARAMETERS):
            cursor.execute("INSERT INTO prepared (a, b) VALUES (?, ?)", pair)
            say(number, cursor.rowcount, cursor.lastrowid)
        # A parameter that is sent in pieces.
        cursor.execute("INSERT INTO prepared (a, b) VALUES (?, ?)", ("long", bytes(range(256)) * 4096))
        cursor.executemany("INSERT INTO prepared (a) VALUES (?)", [(f"row {number}",) for number in range(50)])
        say(cursor.rowcount, cursor.lastrowid)
        cursor.execute("SELECT id, a, LENGTH(b), SHA2(b, 256) FROM prepared WHERE id < ? ORDER BY id", (100,))
        client.tell(connection, cursor)
        cursor.close()
        with connection.cursor(prepared=True, dictionary=True) as cursor:
            cursor.execute("SELECT COUNT(*) AS rows_seen FROM prepared WHERE a = %(text)s OR id = %(id)s",
                           {"text": "long", "id": 1})
            say(*cursor.fetchall())
        for sql in ["SELEKT ?", "SELECT * FROM no_such_table WHERE a = ?", "INSERT INTO prepared (id) VALUES (?)"]:
            cursor = connection.cursor(prepared=True)
            try:
                cursor.execute(sql, (1,))
                expect(False, f"{sql} should fail")
            except client.error as error:
                client.say_error(error)
            cursor.close()
        client.run(connection, "DROP TABLE prepared")


def transactions(client):
    with client.connect() as writer, client.connect(autocommit=True) as reader:
        client.run(writer, "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)")

        def money():
            return client.query(reader, "SELECT * FROM accounts ORDER BY id")

        say(writer.in_transaction, reader.in_transaction)
        client.run(writer, "INSERT INTO accounts VALUES (1, 100), (2, 50)")
        say(writer.in_transaction, reader.in_transaction)
        expect(money() == [], "nobody sees what is not committed")
        writer.commit()
        say(writer.in_transaction)
        expect(money() == [(1, 100), (2, 50)], "everybody sees what is committed")
        for level in ["READ COMMITTED", "SERIALIZABLE"]:
            writer.start_transaction(isolation_level=level)
            client.run(writer, "UPDATE accounts SET money = 0 WHERE id = 1")
            expect(money() == [(1, 100), (2, 50)], "nobody sees what is not committed")
            writer.rollback()
        try:
            writer.start_transaction(consistent_snapshot=True, readonly=True)
            client.refused(writer, [1792], "DELETE FROM accounts")
        except ValueError as error:
            # The driver takes a MariaDB for a MySQL 5.5.
            say(str(error))
            writer.start_transaction(consistent_snapshot=True)
        try:
            writer.start_transaction()
            expect(False, "the transaction is still open")
        except client.error as error:
            client.say_error(error)
        writer.rollback()
        client.run(writer, "DROP TABLE accounts")


def cursors(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))")
        rows = [(number, f"{number:06}" * (number % 30)) for number in range(STREAMED_ROWS)]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO streamed VALUES (%s, %s)", rows)
            say(cursor.rowcount)
        connection.commit()
        for options in [{}, {"buffered": True}, {"dictionary": True}, {"raw": True}, {"prepared": True}]:
            cursor = connection.cursor(**options)
            cursor.execute("SELECT id, body FROM streamed ORDER BY id")
            say(options, cursor.fetchone(), cursor.fetchmany(2))
            seen, count = digest(), 3
            for row in cursor:
                seen.update(repr(row).encode())
                count += 1
            cursor.close()
            say(count, seen.hexdigest())
            expect(count == STREAMED_ROWS, "all rows come")
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM streamed ORDER BY id")
        say(cursor.fetchone())
        try:
            connection.cursor().execute("SELECT 1")
            say("another statement is let through")
        except client.error as error:
            client.say_error(error)
    with client.connect(consume_results=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM streamed ORDER BY id")
        say(cursor.fetchone())
        client.run(connection, "SELECT COUNT(*) FROM streamed")
        client.run(connection, "DROP TABLE streamed")


def errors(client):
    with client.connect(get_warnings=True) as connection:
        client.run(connection, "CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)")
        client.run(connection, "INSERT INTO errors VALUES (1, 'one')")
        for code, sql in [(1062, "INSERT INTO errors VALUES (1, 'eins')"), (1064, "SELEKT 'zwei' FROM errors"),
                          (1146, "SELECT * FROM no_such_table"), (1049, "USE no_such_database"),
                          (1054, "SELECT `no such column ü` FROM errors"),
                          (1048, "INSERT INTO errors VALUES (2, NULL)"),
                          (1406, "INSERT INTO errors VALUES (2, 'too long')")]:
            client.refused(connection, [code], sql)
        with connection.cursor() as cursor:
            cursor.execute("SELECT CAST('12 apples' AS SIGNED), 1 / 0")
            say(cursor.fetchall(), cursor.warnings)
            cursor.execute("INSERT IGNORE INTO errors VALUES (1, 'uno'), (3, 'cut off here')")
            say(cursor.rowcount, cursor.warnings)
        connection.rollback()
        client.run(connection, "DROP TABLE errors")
    with client.connect(raise_on_warnings=True) as connection:
        try:
            client.run(connection, "SELECT 1 / 0")
            expect(False, "a warning is an error")
        except client.error as error:
            client.say_error(error)
    wrongs = [{"database": "no_such_database"}]
    if PURE:
        # Where there is no TLS, the extension tells nobody but the server's key whether a password is wrong.
        wrongs += [{"password": "wrong"}, {"user": "nobody"}]
    for wrong in wrongs:
        try:
            with client.connect(**wrong):
                expect(False, f"logged in with {wrong}")
        except client.error as error:
            client.say_error(error)


def called(client):
    """callproc() reads OUT parameters back; a result set each is kept."""
    with client.connect() as connection:
        client.run(connection, "DROP PROCEDURE IF EXISTS shown")
        client.run(connection, """CREATE PROCEDURE shown(IN a INT, OUT doubled INT, INOUT sum BIGINT)
            BEGIN SET doubled = a * 2, sum = sum + a; SELECT a, 'first' AS name; SELECT sum; END""")
        with connection.cursor() as cursor:
            for number in [21, -3]:
                say(*cursor.callproc("shown", (number, 0, 100)))
                for result in cursor.stored_results():
                    say(result.description, result.fetchall())
        client.run(connection, "DROP PROCEDURE shown")


def several_results(client):
    """The driver asks for multi-statements of its own accord."""
    with client.connect() as connection:
        client.several(connection, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4")
        client.several(connection, """CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY);
            INSERT INTO multi VALUES (), (); SELECT * FROM multi; UPDATE multi SET id = id + 10; SELECT * FROM multi""")
        client.several(connection, "SELECT 1; SELECT * FROM no_such_table; SELECT 2")
        client.several(connection, "START TRANSACTION; DELETE FROM multi; ROLLBACK; SELECT COUNT(*) FROM multi")
        client.several(connection, "DROP TABLE multi")
        client.run(connection, "SELECT 'still in step'")
    flags = [-ClientFlag.MULTI_STATEMENTS]
    with client.connect(client_flags=flags) as connection:
        client.refused(connection, [1064], "SELECT 1; SELECT 2")
    with client.connect(client_flags=[ClientFlag.FOUND_ROWS]) as connection:
        client.run(connection, "CREATE TABLE found (id INT PRIMARY KEY)")
        client.run(connection, "INSERT INTO found VALUES (1), (2)")
        client.run(connection, "UPDATE found SET id = id")
        client.run(connection, "DROP TABLE found")


def commands(client):
    with client.connect() as connection:
        connection.ping(reconnect=False)
        say(connection.is_connected())
        client.run(connection, "SET @mine = 1, time_zone = '+05:30'")
        client.run(connection, "CREATE TEMPORARY TABLE scratch (a INT)")
        client.run(connection, "SELECT @mine, @@time_zone")
        # COM_RESET_CONNECTION.
        connection.reset_session(user_variables={"mine": 7}, session_variables={"sql_mode": "ANSI_QUOTES"})
        client.run(connection, "SELECT @mine, @@time_zone, @@sql_mode, DATABASE()")
        client.refused(connection, [1146], "SELECT * FROM scratch")
        if PURE:
            say("statistics", sorted(connection.cmd_statistics()))
        database = client.query(connection, "SELECT DATABASE()")[0][0]
        other = f"{database}_other"
        client.run(connection, f"CREATE DATABASE `{other}` CHARACTER SET utf8mb4")
        connection.database = other
        client.run(connection, "CREATE TABLE there (a INT)")
        client.run(connection, "SHOW TABLES")
        connection.database = database
        client.run(connection, f"DROP DATABASE `{other}`")
        client.run(connection, "SELECT DATABASE()")
        # A new connection, which knows nothing of the old one.
        client.run(connection, "SET @mine = 8")
        connection.reconnect()
        client.run(connection, "SELECT @mine, DATABASE()")


def pool(client):
    """A pool resets a connection's session when it comes back."""
    pool = pooling.MySQLConnectionPool(pool_name="drivers", pool_size=POOL_CONNECTIONS, pool_reset_session=True,
                                       autocommit=True, **client.account)
    setup = pool.get_connection()
    client.run(setup, "CREATE TABLE pooled (thread INT, step INT, PRIMARY KEY (thread, step))")
    setup.close()
    failures, places = [], threading.Semaphore(POOL_CONNECTIONS)

    def work(thread):
        try:
            for step in range(STATEMENTS_PER_THREAD):
                with places:
                    connection = pool.get_connection()
                    seen = client.query(connection, "SELECT @thread")
                    expect(seen == [(None,)], f"thread {thread} saw {seen} of another")
                    client.query(connection, "SET @thread = %s", (thread,))
                    client.query(connection, "INSERT INTO pooled VALUES (%s, %s)", (thread, step))
                    rows = client.query(connection, "SELECT COUNT(*), @thread FROM pooled WHERE thread = %s", (thread,))
                    expect(rows == [(step + 1, thread)], f"thread {thread} got {rows!r}")
                    connection.close()
        except BaseException as error:
            failures.append(f"thread {thread}: {error!r}")

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expect(not failures, "; ".join(failures))
    with client.connect() as connection:
        client.run(connection, "SELECT thread, COUNT(*), SUM(step) FROM pooled GROUP BY thread ORDER BY thread")
        client.run(connection, "DROP TABLE pooled")


SECTIONS = [greeting, types, prepared, transactions, cursors, errors, called, several_results, commands, pool,
            *dbapi.SHARED]


def main():
    host, port, user, password, database = sys.argv[2:7]
    account = {"host": host, "port": int(port), "user": user, "password": password, "database": database,
               "use_pure": PURE}
    # What a later result says, the extension raises as it is.
    errors = (mysql.connector.Error,) if PURE else (mysql.connector.Error, _mysql_connector.MySQLInterfaceError)
    sections = extras.SECTIONS if sys.argv[7:] else SECTIONS
    dbapi.run_sections(sections, Client(mysql.connector.connect, errors, account))


if __name__ == "__main__":
    main()
