"""mysqlclient (MySQLdb, on MariaDB's C library), as an application uses it: prints what it saw, exits non-zero when
that is not what it should have seen.

Usage: main.py HOST PORT USER PASSWORD DATABASE [extras]

The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
"""

import sys
import threading

import MySQLdb
from MySQLdb.constants import CLIENT
from MySQLdb.cursors import DictCursor, SSCursor, SSDictCursor

import columns
import dbapi
import extras
from telling import digest, expect, say

THREADS = 8
STATEMENTS_PER_THREAD = 50
STREAMED_ROWS = 20_000
# Values of one INSERT that executemany() makes: mysqlclient sends about 64 KiB at a time.
MANY_ROWS = 5000
# The driver sends times without fractions.
OWN_WAYS = ["hours_micro"]


class Extras(extras.Extras):
    local_files = {"local_infile": 1}
    no_local_files = {"local_infile": 0}
    compressed = {"compress": True}

    def tls(self, authority):
        return {"ssl": {"ca": authority}}

    def wrong_authority(self):
        return MySQLdb.MySQLError

    def change_user(self, connection, user, password, database):
        connection.change_user(user, password, database)


class Client(dbapi.Client):
    extras = Extras()

    def warning_count(self, connection, cursor):
        return connection.warning_count()


def greeting(client):
    with client.connect() as connection:
        say(connection.get_server_info(), connection.get_proto_info(), connection.character_set_name())
        say(connection.get_host_info(), connection.get_autocommit(), connection.server_capabilities & CLIENT.TRANSACTIONS)
        client.run(connection, "SELECT VERSION(), DATABASE(), CURRENT_USER(), USER()")
        client.run(connection, "SELECT @@character_set_client, @@collation_connection, @@autocommit, @@sql_mode")
    with client.connect(database="", sql_mode="ANSI_QUOTES", init_command="SET time_zone = '+05:30'") as connection:
        client.run(connection, "SELECT DATABASE(), @@sql_mode, @@time_zone")
    with client.connect(autocommit=True, use_unicode=False) as connection:
        client.run(connection, "SELECT @@autocommit, 'text', x'00ff'")


def types(client):
    with client.connect(charset="utf8mb4") as connection:
        client.run(connection, f"CREATE TABLE types (id INT PRIMARY KEY, {columns.definitions()})")
        for number, row in enumerate(columns.ROWS):
            names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
            client.run(connection, f"INSERT INTO types (id, {names}) VALUES ({number}, {marks})", list(row.values()))
        connection.commit()
        seen = client.run(connection, "SELECT * FROM types ORDER BY id", cursor=connection.cursor(DictCursor))
        expect(len(seen) == len(columns.ROWS), "a row for each that was inserted")
        for sent, got in zip(columns.ROWS, seen):
            for name, value in sent.items():
                same = name in OWN_WAYS or columns.same(name, value, got[name])
                expect(same, f"{name}: {value!r} became {got[name]!r}")
        client.run(connection, "SELECT 1 WHERE 1 = 0")
        client.run(connection, "SELECT '', NULL, '' UNION ALL SELECT 'a', 'b', NULL")
        client.run(connection, "DROP TABLE types")


def character_sets(client):
    words = ["Grüße", "it's \"quoted\" \\ and\0zero\n\r\x1a"]
    for charset in ["latin1", "utf8", "utf8mb4", "cp1250", "koi8r"]:
        with client.connect(charset=charset, use_unicode=False) as connection:
            say(charset, connection.character_set_name(), connection.escape_string(b"it's \\ \0 \"x\""))
            client.run(connection, b"SELECT @@character_set_client, @@character_set_results, @@collation_connection")
            for word in words:
                client.run(connection, b"SELECT %s, HEX(%s)", (word.encode("latin1"), word.encode("latin1")))
            connection.set_character_set("utf8mb4")
            client.run(connection, "SELECT '👍', HEX('👍'), @@character_set_client".encode())


def transactions(client):
    with client.connect() as writer, client.connect() as reader:
        reader.autocommit(True)
        client.run(writer, "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)")

        def money():
            return client.query(reader, "SELECT * FROM accounts ORDER BY id")

        client.run(writer, "INSERT INTO accounts VALUES (1, 100), (2, 50)")
        expect(money() == [], "nobody sees what is not committed")
        writer.commit()
        expect(money() == [(1, 100), (2, 50)], "everybody sees what is committed")
        client.run(writer, "UPDATE accounts SET money = money - 30 WHERE id = 1")
        client.run(writer, "SAVEPOINT half")
        client.run(writer, "UPDATE accounts SET money = money + 30 WHERE id = 2")
        client.run(writer, "ROLLBACK TO SAVEPOINT half")
        client.run(writer, "RELEASE SAVEPOINT half")
        client.refused(writer, [1305], "ROLLBACK TO SAVEPOINT half")
        expect(client.query(writer, "SELECT SUM(money) FROM accounts")[0][0] == 120, "half of it is there")
        writer.rollback()
        expect(money() == [(1, 100), (2, 50)], "nothing of it is left")
        writer.autocommit(True)
        writer.begin()
        client.run(writer, "DELETE FROM accounts")
        writer.rollback()
        client.run(writer, "UPDATE accounts SET money = 7 WHERE id = 2")
        expect(money() == [(1, 100), (2, 7)], "outside a transaction it is there at once")
        client.run(writer, "DROP TABLE accounts")


def many(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(100))")
        cursor = connection.cursor()
        rows = [(number, f"row {number:090}") for number in range(MANY_ROWS)]
        say(cursor.executemany("INSERT INTO many (a, b) VALUES (%s, %s)", rows), cursor.lastrowid)
        # Not an INSERT … VALUES: these go one by one.
        changes = [(f"changed {number}", number) for number in range(0, MANY_ROWS, 50)]
        say(cursor.executemany("UPDATE many SET b = %s WHERE a = %s", changes))
        cursor.close()
        connection.commit()
        client.run(connection, "SELECT COUNT(*), SUM(a), MIN(id), MAX(id), SUM(b LIKE 'changed%%') FROM many", ())
        client.run(connection, "INSERT INTO many (a) VALUES (1), (2)")
        say(connection.insert_id(), connection.affected_rows(), connection.info())
        client.run(connection, "UPDATE many SET a = a WHERE id < 100")
        say(connection.info())
        client.run(connection, "DROP TABLE many")
    with client.connect(client_flag=CLIENT.FOUND_ROWS) as connection:
        client.run(connection, "CREATE TABLE many (id INT PRIMARY KEY)")
        client.run(connection, "INSERT INTO many VALUES (1), (2)")
        client.run(connection, "UPDATE many SET id = id")
        client.run(connection, "DROP TABLE many")


def errors(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)")
        client.run(connection, "INSERT INTO errors VALUES (1, 'one')")
        for code, sql in [(1062, "INSERT INTO errors VALUES (1, 'eins')"), (1064, "SELEKT 'zwei' FROM errors"),
                          (1064, "SELECT 1; SELECT 2"), (1146, "SELECT * FROM no_such_table"),
                          (1054, "SELECT no_such_column FROM errors"), (1048, "INSERT INTO errors VALUES (2, NULL)"),
                          (1406, "INSERT INTO errors VALUES (2, 'too long')"), (1049, "USE no_such_database"),
                          (1065, "")]:
            client.refused(connection, [code], sql)
            say(connection.errno(), connection.error())
        # An error does not end the transaction.
        expect(client.run(connection, "SELECT * FROM errors") == [(1, "one")], "the row is still there")
        client.run(connection, "SELECT CAST('12 apples' AS SIGNED), 1 / 0")
        say(*connection.show_warnings())
        client.run(connection, "DROP TABLE errors")
    for wrong in [{"password": "wrong"}, {"user": "nobody"}, {"database": "no_such_database"}]:
        try:
            with client.connect(**wrong):
                expect(False, f"logged in with {wrong}")
        except client.error as error:
            client.say_error(error)


def streaming(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))")
        rows = [(number, f"{number:06}" * (number % 30)) for number in range(STREAMED_ROWS)]
        cursor = connection.cursor()
        cursor.executemany("INSERT INTO streamed VALUES (%s, %s)", rows)
        cursor.close()
        connection.commit()
        for kind in [SSCursor, SSDictCursor]:
            cursor = connection.cursor(kind)
            cursor.execute("SELECT id, body FROM streamed ORDER BY id")
            say(cursor.fetchone(), cursor.fetchmany(2))
            seen, count = digest(), 3
            for row in cursor:
                seen.update(repr(row).encode())
                count += 1
            cursor.close()
            say(count, seen.hexdigest())
            expect(count == STREAMED_ROWS, "all rows come")
        cursor = connection.cursor(SSCursor)
        cursor.execute("SELECT id, body FROM streamed ORDER BY id DESC")
        say(cursor.fetchmany(3))
        # Closed early, it reads the rest away.
        cursor.close()
        client.run(connection, "SELECT COUNT(*) FROM streamed")
        client.run(connection, "DROP TABLE streamed")


def commands(client):
    with client.connect() as connection:
        connection.ping()
        database = client.query(connection, "SELECT DATABASE()")[0][0]
        other = f"{database}_other"
        client.run(connection, f"CREATE DATABASE `{other}` CHARACTER SET utf8mb4")
        connection.select_db(other)
        client.run(connection, "CREATE TABLE there (a INT)")
        client.run(connection, "SHOW TABLES")
        connection.select_db(database)
        client.run(connection, "SHOW TABLES")
        client.run(connection, f"DROP DATABASE `{other}`")
        try:
            connection.select_db("no_such_database")
            expect(False, "there is no such database")
        except client.error as error:
            client.say_error(error)
        say("statistics", connection.stat().split(":")[0])
        client.run(connection, "SELECT DATABASE()")


def several_results(client):
    with client.connect(client_flag=CLIENT.MULTI_STATEMENTS) as connection:
        client.several(connection, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4")
        client.several(connection, """CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY);
            INSERT INTO multi VALUES (), (); SELECT * FROM multi; UPDATE multi SET id = id + 10; SELECT * FROM multi""")
        client.several(connection, "SELECT 1; SELECT * FROM no_such_table; SELECT 2")
        client.several(connection, "START TRANSACTION; DELETE FROM multi; ROLLBACK; SELECT COUNT(*) FROM multi")
        # Result sets that nobody asked for are read away.
        client.run(connection, "SELECT 1; SELECT 2; SELECT 3")
        client.several(connection, "DROP TABLE multi")
        client.run(connection, "SELECT 'still in step'")


def session_state(client):
    with client.connect() as connection, client.connect() as other:
        client.run(connection, "SET @mine = 'kept', time_zone = '+05:30', sql_mode = 'ANSI_QUOTES'")
        client.run(connection, "CREATE TEMPORARY TABLE scratch (a INT)")
        client.run(connection, "INSERT INTO scratch VALUES (1), (2)")
        client.run(other, "SELECT @mine, @@time_zone, @@sql_mode")
        client.refused(other, [1146], "SELECT * FROM scratch")
        client.run(connection, "SELECT @mine, @@time_zone, @@sql_mode, FROM_UNIXTIME(86400)")
        client.run(connection, 'SELECT COUNT(*) AS "a ""quoted"" name" FROM "scratch"')


def threads(client):
    with client.connect() as connection:
        client.run(connection, "CREATE TABLE threads (thread INT, step INT, PRIMARY KEY (thread, step))")
        connection.commit()
    failures = []

    def work(thread):
        try:
            with client.connect() as connection:
                client.query(connection, "SET @thread = %s", (thread,))
                for step in range(STATEMENTS_PER_THREAD):
                    client.query(connection, "INSERT INTO threads VALUES (%s, %s)", (thread, step))
                    rows = client.query(connection, "SELECT COUNT(*), @thread FROM threads WHERE thread = %s", (thread,))
                    expect(rows == [(step + 1, thread)], f"thread {thread} got {rows!r}")
                    # Committed at other moments in every thread.
                    if step % (thread + 2) == 0:
                        connection.commit()
                connection.commit()
        except BaseException as error:
            failures.append(f"thread {thread}: {error!r}")

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expect(not failures, "; ".join(failures))
    with client.connect() as connection:
        client.run(connection, "SELECT thread, COUNT(*), SUM(step) FROM threads GROUP BY thread ORDER BY thread")
        client.run(connection, "DROP TABLE threads")


SECTIONS = [greeting, types, character_sets, transactions, many, errors, streaming, commands, several_results,
            session_state, threads, *dbapi.SHARED]


def main():
    host, port, user, password, database = sys.argv[1:6]
    account = {"host": host, "port": int(port), "user": user, "password": password, "database": database}
    sections = extras.SECTIONS if sys.argv[6:] else SECTIONS
    dbapi.run_sections(sections, Client(MySQLdb.connect, MySQLdb.MySQLError, account))


if __name__ == "__main__":
    main()
