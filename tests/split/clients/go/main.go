// What the Go driver says in the conversation that is cut: nothing here may depend on the run.
//
// Usage: split HOST PORT USER PASSWORD DATABASE
package main

import (
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

func main() {
	host, port, user, password, database := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?multiStatements=true", user, password, host, port, database))
	check(err)
	db.SetMaxOpenConns(1)
	run(db, "DROP TABLE IF EXISTS t")
	run(db, "CREATE TABLE t (a INT PRIMARY KEY, b LONGTEXT, c DOUBLE)")
	insert, err := db.Prepare("INSERT INTO t VALUES (?, ?, ?)")
	check(err)
	for _, row := range [][]interface{}{{1, "", 1.5}, {2, nil, nil}, {3, strings.Repeat("g", 280), -0.25}} {
		_, err = insert.Exec(row...)
		check(err)
	}
	_, err = insert.Exec(1, "twice", 0)
	refused(err)
	check(insert.Close())
	rows(db, 3, "SELECT * FROM t ORDER BY a")
	rows(db, 2, "SELECT a, b FROM t WHERE a > ? ORDER BY a", 1)
	_, err = db.Query("SELECT nonsense FROM t")
	refused(err)
	transaction, err := db.Begin()
	check(err)
	_, err = transaction.Exec("DELETE FROM t WHERE a = ?", 1)
	check(err)
	check(transaction.Rollback())
	several, err := db.Query("SELECT 1; SELECT 2, 3")
	check(err)
	for several.Next() || several.NextResultSet() {
	}
	check(several.Err())
	check(several.Close())
	mysql.RegisterReaderHandler("file", func() io.Reader { return strings.NewReader("4\tfour\t4\n5\tfive\t5\n") })
	run(db, "LOAD DATA LOCAL INFILE 'Reader::file' INTO TABLE t")
	rows(db, 5, "SELECT * FROM t ORDER BY a")
	check(db.Ping())
	check(db.Close())
}

func run(db *sql.DB, text string) {
	_, err := db.Exec(text)
	check(err)
}

func rows(db *sql.DB, want int, text string, arguments ...interface{}) {
	result, err := db.Query(text, arguments...)
	check(err)
	found := 0
	for result.Next() {
		found++
	}
	check(result.Err())
	check(result.Close())
	if found != want {
		panic(fmt.Sprintf("%s: %d rows", text, found))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func refused(err error) {
	if err == nil {
		panic("an error was due")
	}
}
