"""What PyMySQL says in the conversation that is cut: nothing here may depend on the run.

Usage: pymysql_client.py PORT USER PASSWORD DATABASE
"""

import sys

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

port, user, password, database = sys.argv[1:]
connection = pymysql.connect(host="127.0.0.1", port=int(port), user=user, password=password, database=database,
                             client_flag=CLIENT.MULTI_STATEMENTS)
with connection.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS t")
    cursor.execute("CREATE TABLE t (a INT PRIMARY KEY, b TEXT, c BLOB)")
    cursor.executemany("INSERT INTO t VALUES (%s, %s, %s)", [(1, "", b"\0\xff"), (2, None, b""), (3, "ü" * 200, None)])
    connection.commit()
    cursor.execute("SELECT * FROM t ORDER BY a")
    assert len(cursor.fetchall()) == 3
    cursor.execute("SELECT 1; UPDATE t SET b = 'x'; SELECT b FROM t WHERE a = 1; SELECT nonsense")
    try:
        while cursor.nextset():
            pass
        raise SystemExit("an error was due")
    except pymysql.err.OperationalError:
        pass
    connection.rollback()
    for wrong in ["SELEC 1", "INSERT INTO t (a) VALUES (1)", "SELECT * FROM nowhere"]:
        try:
            cursor.execute(wrong)
            raise SystemExit("an error was due")
        except pymysql.err.MySQLError:
            pass
connection.ping()
connection.select_db("test")
connection.select_db(database)
with connection.cursor(SSCursor) as cursor:
    cursor.execute("SELECT a, REPEAT('y', a) FROM t ORDER BY a")
    assert [row[0] for row in cursor] == [1, 2, 3]
connection.autocommit(True)
connection.close()
