"""What needs more than an address and a password: TLS, files, other accounts, several connections' ids.

The working directory has `ca.pem`, which signed the server's certificate, `other-ca.pem`, which did not, and `rows.csv`. The
account `secure` has to use TLS, the account `second` has not; both have the same password.
"""

import contextlib
import pathlib
import threading
import time

from telling import expect, say

# Seconds for a statement to show up in the list of processes.
PATIENCE_S = 20
# The connection was killed, was lost, or has gone away.
GONE = [1927, 2006, 2013, 2055]
ROWS = "LOAD DATA LOCAL INFILE '%s' INTO TABLE loaded FIELDS TERMINATED BY ',' (id, name)"


class Extras:
    """What drivers have different names for: options of a connection, and commands. None where a driver has none."""

    local_files = None
    no_local_files = None
    compressed = None
    # The length of a value that comes compressed.
    compressed_length = 20_000_000
    plain = {}

    def tls(self, authority):
        """Options for TLS with a server whose certificate is signed by `authority`, a file."""
        raise NotImplementedError

    def wrong_authority(self):
        """The errors of a certificate that somebody else signed."""
        raise NotImplementedError

    change_user = None

    def thread_id(self, connection):
        return connection.thread_id()


def encrypted(client):
    extras = client.extras
    for user in ["app", "secure"]:
        with client.connect(user=user, **extras.tls("ca.pem")) as connection:
            client.run(connection, "SELECT CURRENT_USER(), REPEAT('x', 100)")
            long = client.query(connection, "SELECT REPEAT('y', 20000000), LENGTH(%s)", ("z" * 5_000_000,))
            expect(long == [("y" * 20_000_000, 5_000_000)], "long values come and go")
            client.refused(connection, [1146], "SELECT * FROM no_such_table")
    try:
        with client.connect(user="secure", **extras.plain):
            expect(False, "the account must use TLS")
    except client.error:
        # In whose words depends on what MySQL has cached of the account.
        say("refused without TLS")
    say_refusal(client, user="secure", password="wrong", **extras.tls("ca.pem"))
    try:
        with client.connect(**extras.tls("other-ca.pem")):
            expect(False, "the certificate is not signed by that authority")
    except extras.wrong_authority() as error:
        say(type(error).__name__)


def say_refusal(client, **options):
    try:
        with client.connect(**options):
            expect(False, f"let in with {options}")
    except client.error as error:
        client.say_error(error)


def compressed(client):
    if client.extras.compressed is None:
        return
    with client.connect(**client.extras.compressed) as connection:
        client.run(connection, "SELECT 1, REPEAT('x', 100)")
        length = client.extras.compressed_length
        noise = bytes((number * number >> 3) & 0xFF for number in range(length // 5))
        seen = client.query(connection, f"SELECT HEX(%s), REPEAT('y', {length})", (noise,))
        expect(seen == [(noise.hex().upper(), "y" * length)], "long values come and go")
        client.refused(connection, [1146], "SELECT * FROM no_such_table")
        client.run(connection, "SELECT 'still in step'")


def local_files(client):
    with client.connect(**client.extras.local_files) as connection:
        client.run(connection, "CREATE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(10))")
        connection.commit()
        client.run(connection, ROWS.replace("%s", "rows.csv"))
        client.run(connection, "SHOW WARNINGS")
        client.run(connection, "SELECT * FROM loaded ORDER BY id")
        connection.rollback()
        client.run(connection, "SELECT COUNT(*) FROM loaded")
        pathlib.Path("long.csv").write_text("".join(f"{number},name {number}\n" for number in range(300_000)))
        client.run(connection, ROWS.replace("%s", "long.csv"))
        client.run(connection, "SELECT COUNT(*), SUM(id), MAX(name) FROM loaded")
        pathlib.Path("empty.csv").write_text("")
        client.run(connection, ROWS.replace("%s", "empty.csv"))
        client.refused(connection, [1146], ROWS.replace("%s", "rows.csv").replace("loaded", "no_such_table"))
        connection.commit()
        # Not every driver's connection outlives this.
        with client.connect(**client.extras.local_files) as other:
            try:
                client.run(other, ROWS.replace("%s", "no_such_file.csv"))
                expect(False, "there is no such file")
            except client.file_errors as error:
                # Some say the whole path.
                say(type(error).__name__, error.args[0])
            with contextlib.suppress(*client.file_errors):
                other.rollback()
        client.run(connection, "SELECT 'still in step'")
        client.run(connection, "DROP TABLE loaded")
    if client.extras.no_local_files is None:
        return
    with client.connect(**client.extras.no_local_files) as connection:
        client.run(connection, "CREATE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(10))")
        try:
            client.run(connection, ROWS.replace("%s", "rows.csv"))
            expect(False, "the client did not allow it")
        except client.error as error:
            client.say_error(error)
        client.run(connection, "DROP TABLE loaded")


def other_account(client):
    change_user = client.extras.change_user
    if change_user is None:
        return
    with client.connect() as connection:
        client.run(connection, "SET @mine = 1, time_zone = '+05:30'")
        client.run(connection, "CREATE TEMPORARY TABLE scratch (a INT)")
        client.run(connection, "SELECT CURRENT_USER(), USER(), DATABASE(), @mine, @@time_zone")
        password, database = client.account["password"], client.account["database"]
        change_user(connection, "second", password, database)
        client.run(connection, "SELECT CURRENT_USER(), USER(), DATABASE(), @mine, @@time_zone, @@autocommit")
        client.refused(connection, [1146], "SELECT * FROM scratch")
        change_user(connection, client.account["user"], password, "test")
        client.run(connection, "SELECT CURRENT_USER(), DATABASE()")
        try:
            change_user(connection, "second", "wrong", database)
            expect(False, "the password is wrong")
        except client.error as error:
            client.say_error(error)


def killed(client):
    """Another connection ends a statement, and then the whole connection."""
    with client.connect() as victim, client.connect() as killer:
        client.run(victim, "CREATE TABLE slow (id INT)")
        client.run(victim, "INSERT INTO slow VALUES (1), (2)")
        victim.commit()
        client.run(victim, "SET @mine = 'kept'")
        number = client.extras.thread_id(victim)
        expect(client.query(victim, "SELECT CONNECTION_ID()") == [(number,)], "the id is the connection's")
        for how in ["QUERY", "CONNECTION"]:
            failure = []
            thread = threading.Thread(target=keep_error, args=(client, victim, failure))
            thread.start()
            wait_for(client, killer, number)
            client.query(killer, f"KILL {how} {number}")
            thread.join()
            expect(len(failure) == 1, "the statement fails")
            if how == "QUERY":
                client.say_error(failure[0])
                client.run(victim, "SELECT @mine")
                continue
            # Whether the last word is still read before the end depends on the moment.
            expect(failure[0].args[0] in GONE, f"the connection ends, not {failure[0]}")
        client.refused(killer, [1094], "KILL 4000000000")
        client.run(killer, "DROP TABLE slow")


def keep_error(client, victim, failure):
    try:
        client.query(victim, "SELECT * FROM slow WHERE SLEEP(30)")
    except client.error as error:
        failure.append(error)


def wait_for(client, killer, number):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for row in client.query(killer, "SHOW FULL PROCESSLIST"):
            if row[0] == number and "SLEEP" in str(row[7]):
                return
        time.sleep(0.05)
    expect(False, "the statement is in the list of processes")


SECTIONS = [encrypted, compressed, local_files, other_account, killed]
