package main

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// Longer values are printed as a digest.
const longestShown = 200

// runner is what databases and transactions have in common.
type runner interface {
	Exec(string, ...interface{}) (sql.Result, error)
	Query(string, ...interface{}) (*sql.Rows, error)
}

func exec(db runner, statement string, arguments ...interface{}) {
	fmt.Println("--", shown(statement))
	result, err := db.Exec(statement, arguments...)
	check(err)
	id, _ := result.LastInsertId()
	changed, _ := result.RowsAffected()
	fmt.Println("   changed", changed, "id", id)
}

// query prints every result of a statement.
func query(db runner, statement string, arguments ...interface{}) {
	fmt.Println("--", shown(statement))
	rows, err := db.Query(statement, arguments...)
	check(err)
	tell(rows)
}

// number gives the only value of a result.
func number(db *sql.DB, statement string, arguments ...interface{}) int {
	var value int
	check(db.QueryRow(statement, arguments...).Scan(&value))
	return value
}

func tell(rows *sql.Rows) {
	for more := true; more; more = rows.NextResultSet() {
		kinds, err := rows.ColumnTypes()
		check(err)
		for _, kind := range kinds {
			nullable, _ := kind.Nullable()
			precision, scale, _ := kind.DecimalSize()
			fmt.Println("   column", kind.Name(), kind.DatabaseTypeName(), kind.ScanType(), nullable, precision, scale)
		}
		values, targets := make([]interface{}, len(kinds)), make([]interface{}, len(kinds))
		for number := range values {
			targets[number] = &values[number]
		}
		for rows.Next() {
			check(rows.Scan(targets...))
			texts := make([]string, len(values))
			for number, value := range values {
				texts[number] = shown(value)
			}
			fmt.Println("  ", strings.Join(texts, ", "))
		}
	}
	check(rows.Err())
	check(rows.Close())
}

func tellError(err error, code uint16) {
	fmt.Println("   error", described(err))
	var refused *mysql.MySQLError
	expect(errors.As(err, &refused) && refused.Number == code, fmt.Sprint("wanted error ", code, ", got ", err))
}

func described(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

func shown(value interface{}) string {
	text := fmt.Sprintf("%T(%v)", value, value)
	switch value := value.(type) {
	case nil:
		text = "NULL"
	case string:
		text = fmt.Sprintf("%q", value)
	case []byte:
		text = fmt.Sprintf("[%x]", value)
	}
	if len(text) > longestShown {
		return fmt.Sprintf("<%d, %x>", len(text), sha256.Sum256([]byte(text)))
	}
	return text
}

func allBytes() []byte {
	all := make([]byte, 256)
	for number := range all {
		all[number] = byte(number)
	}
	return all
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func expect(condition bool, what string) {
	if !condition {
		fail(what)
	}
}

func fail(what string) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(1)
}
