// The Go driver, as an application uses it: prints what it saw, exits non-zero when that is not what it should
// have seen.
//
// Usage: drivers HOST PORT USER PASSWORD DATABASE
//
// The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
// The driver prepares every statement that has arguments, unless interpolateParams is set.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

const (
	openConnections = 20
	queries         = 500
	preparedRounds  = 300
	streamedRows    = 5000
)

// open gives a pool with further parameters of the data source name.
type open func(parameters string) *sql.DB

func main() {
	if len(os.Args) != 6 {
		fail("usage: drivers HOST PORT USER PASSWORD DATABASE")
	}
	host, port, user, password, database := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	connect := func(parameters string) *sql.DB {
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?%s", user, password, host, port, database, parameters))
		check(err)
		return db
	}
	sections := []struct {
		name string
		run  func(open)
	}{
		{"text", text}, {"types", types}, {"times", times}, {"interpolated", interpolated}, {"prepared", prepared},
		{"altered", altered}, {"transactions", transactions}, {"one connection", oneConnection},
		{"concurrency", concurrency}, {"streaming", streaming}, {"several results", severalResults},
		{"refusals", refusals},
	}
	for _, section := range sections {
		fmt.Println("==", section.name)
		section.run(connect)
	}
}

func text(connect open) {
	db := connect("")
	defer db.Close()
	check(db.Ping())
	query(db, "SELECT VERSION(), DATABASE(), USER()")
	query(db, "SELECT @@character_set_client, @@collation_connection, @@autocommit, @@sql_mode")
	query(db, "SELECT 1, -1, 18446744073709551615, 1.50, 1e10, 'text', '', NULL, x'00ff', DATE '2024-02-29'")
	query(db, "SELECT 1 WHERE 1 = 0")
	exec(db, "DO 1")
}

// columns are pairs of a type and values for it, a row of them each.
var columns = []struct {
	kind   string
	values [3]interface{}
}{
	{"TINYINT", [3]interface{}{int64(-128), int64(127), nil}},
	{"TINYINT UNSIGNED", [3]interface{}{int64(0), int64(255), nil}},
	{"SMALLINT", [3]interface{}{int64(-32768), int64(32767), nil}},
	{"MEDIUMINT UNSIGNED", [3]interface{}{int64(0), int64(16777215), nil}},
	{"INT", [3]interface{}{int64(-2147483648), int64(2147483647), nil}},
	{"BIGINT", [3]interface{}{int64(-1 << 63), int64(1<<63 - 1), nil}},
	{"BIGINT UNSIGNED", [3]interface{}{uint64(0), uint64(1<<64 - 1), nil}},
	{"BOOLEAN", [3]interface{}{true, false, nil}},
	{"DECIMAL(20,5)", [3]interface{}{"-999999999999999.99999", "0.00001", nil}},
	{"FLOAT", [3]interface{}{float32(0.5), float32(-65536), nil}},
	{"DOUBLE", [3]interface{}{0.1, -1.7976931348623157e308, nil}},
	{"CHAR(10)", [3]interface{}{"", "👍👍", nil}},
	{"VARCHAR(300)", [3]interface{}{"Grüße", strings.Repeat("ü", 126), nil}},
	{"LONGTEXT", [3]interface{}{"日本語", strings.Repeat("t", 65536), nil}},
	{"BINARY(4)", [3]interface{}{[]byte{0, 1, 2, 3}, []byte{255, 255, 255, 255}, nil}},
	{"VARBINARY(300)", [3]interface{}{allBytes(), []byte{}, nil}},
	{"LONGBLOB", [3]interface{}{bytes.Repeat(allBytes(), 300), []byte{0}, nil}},
	{"BIT(12)", [3]interface{}{[]byte{0x0a, 0xbc}, []byte{0, 0}, nil}},
	{"YEAR", [3]interface{}{int64(1901), int64(2155), nil}},
	{"TIME(6)", [3]interface{}{"-838:59:58.999999", "00:00:00.000001", nil}},
	{"ENUM('red', 'blue')", [3]interface{}{"red", "blue", nil}},
	{"SET('a', 'b', 'c')", [3]interface{}{"", "a,c", nil}},
	{"JSON", [3]interface{}{`{"a": [1, null, "ü"]}`, `[]`, nil}},
}

func types(connect open) {
	db := connect("")
	defer db.Close()
	definitions, marks := "id INT PRIMARY KEY", "?"
	for number, column := range columns {
		definitions += fmt.Sprintf(", c%d %s", number, column.kind)
		marks += ", ?"
	}
	exec(db, "CREATE TABLE types ("+definitions+")")
	for row := 0; row < 3; row++ {
		arguments := []interface{}{row}
		for _, column := range columns {
			arguments = append(arguments, column.values[row])
		}
		exec(db, "INSERT INTO types VALUES ("+marks+")", arguments...)
	}
	query(db, "SELECT * FROM types ORDER BY id")
	query(db, "SELECT * FROM types WHERE id < ? ORDER BY id", 3)
	for index, column := range columns {
		if column.kind == "JSON" {
			continue // MySQL's JSON is not equal to a string.
		}
		statement := fmt.Sprintf("SELECT COUNT(*) FROM types WHERE c%d = ? OR c%d IS NULL", index, index)
		found := number(db, statement, column.values[1])
		expect(found == 2, fmt.Sprint(column.kind, " is found ", found, " times"))
	}
	exec(db, "DROP TABLE types")
}

func times(connect open) {
	moment := time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)
	exact := connect("parseTime=true")
	defer exact.Close()
	exec(exact, `CREATE TABLE times
		(id INT PRIMARY KEY, day DATE, moment DATETIME, micro DATETIME(6), stamp TIMESTAMP(6) NULL)`)
	exec(exact, "INSERT INTO times VALUES (?, ?, ?, ?, ?)", 1, moment, moment.Truncate(time.Second), moment, moment)
	exec(exact, "INSERT INTO times VALUES (?, ?, ?, ?, ?)", 2, nil, nil, nil, nil)
	query(exact, "SELECT * FROM times ORDER BY id")
	query(exact, "SELECT * FROM times WHERE micro = ?", moment)
	var micro sql.NullTime
	check(exact.QueryRow("SELECT micro FROM times WHERE id = ?", 1).Scan(&micro))
	expect(micro.Valid && micro.Time.Equal(moment), "the time comes back: "+micro.Time.String())
	check(exact.QueryRow("SELECT micro FROM times WHERE id = 2").Scan(&micro))
	expect(!micro.Valid, "NULL is no time")

	// The driver sends SET for what it does not know, right after it has logged in.
	zoned := connect("parseTime=true&time_zone=%27%2B05%3A30%27")
	defer zoned.Close()
	query(zoned, "SELECT @@time_zone")
	query(zoned, "SELECT stamp, micro FROM times WHERE id = ?", 1)
	exec(zoned, "DROP TABLE times")
}

func interpolated(connect open) {
	db := connect("interpolateParams=true&parseTime=true")
	defer db.Close()
	exec(db, "CREATE TABLE texts (id INT AUTO_INCREMENT PRIMARY KEY, a TEXT, b BLOB, c DATETIME(6), d BIGINT)")
	moment := time.Date(2024, 2, 29, 1, 2, 3, 456789000, time.UTC)
	exec(db, "INSERT INTO texts (a, b, c, d) VALUES (?, ?, ?, ?)", "it's \"quoted\" \\ \x00 👍", allBytes(), moment, -5)
	exec(db, "INSERT INTO texts (a, b, c, d) VALUES (?, ?, ?, ?)", nil, nil, nil, nil)
	query(db, "SELECT * FROM texts WHERE id IN (?, ?) ORDER BY id", 1, 2)
	query(db, "SELECT b = ? FROM texts WHERE a = ?", allBytes(), "it's \"quoted\" \\ \x00 👍")
	exec(db, "DROP TABLE texts")
	other := connect("charset=latin1&collation=latin1_swedish_ci&interpolateParams=true" +
		"&sql_mode=%27ANSI_QUOTES,NO_BACKSLASH_ESCAPES%27")
	defer other.Close()
	query(other, "SELECT @@character_set_client, @@sql_mode")
	query(other, `SELECT '\', "a", ? FROM (SELECT 1 AS "a") AS "t"`, `it's \ quoted`)
}

func prepared(connect open) {
	db := connect("")
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec(db, "CREATE TABLE prepared (id INT PRIMARY KEY, body VARCHAR(50))")
	insert, err := db.Prepare("INSERT INTO prepared VALUES (?, ?)")
	check(err)
	defer insert.Close()
	for id := 0; id < preparedRounds; id++ {
		result, err := insert.Exec(id, fmt.Sprint("row ", id))
		check(err)
		changed, _ := result.RowsAffected()
		expect(changed == 1, "one row is new")
	}
	var kept []*sql.Stmt
	for id := 0; id < preparedRounds; id++ {
		statement, err := db.Prepare(fmt.Sprintf("SELECT body, ? FROM prepared WHERE id = %d", id))
		check(err)
		kept = append(kept, statement)
	}
	seen := sha256.New()
	for round := 0; round < 2; round++ {
		for id, statement := range kept {
			var body, asked string
			check(statement.QueryRow(fmt.Sprint("asked ", id)).Scan(&body, &asked))
			right := body == fmt.Sprint("row ", id) && asked == fmt.Sprint("asked ", id)
			expect(right, fmt.Sprint("statement ", id, ": ", body, ", ", asked))
			fmt.Fprintln(seen, body, asked)
		}
	}
	for _, statement := range kept {
		check(statement.Close())
	}
	fmt.Printf("   %x\n", seen.Sum(nil))
	query(db, "SELECT COUNT(*), MIN(body), MAX(body) FROM prepared")
	exec(db, "DROP TABLE prepared")
}

func altered(connect open) {
	db := connect("")
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec(db, "CREATE TABLE altered (a INT)")
	exec(db, "INSERT INTO altered VALUES (?)", 1)
	statement, err := db.Prepare("SELECT * FROM altered WHERE a = ?")
	check(err)
	rows, err := statement.Query(1)
	check(err)
	tell(rows)
	exec(db, "ALTER TABLE altered ADD COLUMN b VARCHAR(10) DEFAULT 'new', MODIFY a BIGINT")
	rows, err = statement.Query(1)
	check(err)
	tell(rows)
	exec(db, "DROP TABLE altered")
	_, err = statement.Query(1)
	tellError(err, 1146)
	check(statement.Close())
}

func transactions(connect open) {
	db := connect("")
	defer db.Close()
	exec(db, "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)")
	count := func(wanted int) {
		seen := number(db, "SELECT COUNT(*) FROM accounts")
		expect(seen == wanted, fmt.Sprint("wanted ", wanted, " rows, saw ", seen))
	}
	transaction, err := db.Begin()
	check(err)
	exec(transaction, "INSERT INTO accounts VALUES (?, ?)", 1, 100)
	exec(transaction, "INSERT INTO accounts VALUES (2, 50)")
	count(0)
	check(transaction.Commit())
	count(2)
	transaction, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	check(err)
	query(transaction, "SELECT SUM(money) FROM accounts WHERE id < ?", 10)
	_, err = transaction.Exec("INSERT INTO accounts VALUES (?, ?)", 1, 1)
	tellError(err, 1062)
	exec(transaction, "DELETE FROM accounts WHERE id = ?", 2)
	check(transaction.Rollback())
	count(2)
	transaction, err = db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	check(err)
	_, err = transaction.Exec("DELETE FROM accounts")
	tellError(err, 1792)
	check(transaction.Rollback())
	exec(db, "UPDATE accounts SET money = money + ? WHERE id = ?", 5, 1)
	query(db, "SELECT * FROM accounts ORDER BY id")
	exec(db, "DROP TABLE accounts")
}

func oneConnection(connect open) {
	db := connect("")
	defer db.Close()
	ctx := context.Background()
	one, err := db.Conn(ctx)
	check(err)
	other, err := db.Conn(ctx)
	check(err)
	defer other.Close()
	defer one.Close()
	for _, statement := range []string{
		"SET @mine = 'kept'", "SET SESSION max_execution_time = 0", "SET time_zone = '-08:00'",
		"CREATE TEMPORARY TABLE scratch (id INT AUTO_INCREMENT PRIMARY KEY)", "INSERT INTO scratch VALUES (), ()",
	} {
		_, err := one.ExecContext(ctx, statement)
		fmt.Println("  ", statement, described(err))
	}
	for _, connection := range []*sql.Conn{one, other} {
		rows, err := connection.QueryContext(ctx, "SELECT @mine, @@time_zone, LAST_INSERT_ID()")
		check(err)
		tell(rows)
		rows, err = connection.QueryContext(ctx, "SELECT COUNT(*) FROM scratch WHERE id > ?", 0)
		if err != nil {
			tellError(err, 1146)
			continue
		}
		tell(rows)
	}
}

func concurrency(connect open) {
	db := connect("")
	defer db.Close()
	db.SetMaxOpenConns(openConnections)
	db.SetMaxIdleConns(openConnections / 2)
	exec(db, "CREATE TABLE concurrent (id INT PRIMARY KEY, body VARCHAR(50))")
	seen, failed := make([]string, queries), make([]error, queries)
	var group sync.WaitGroup
	for id := 0; id < queries; id++ {
		group.Add(1)
		go func(id int) {
			defer group.Done()
			seen[id], failed[id] = oneQuery(db, id)
		}(id)
	}
	group.Wait()
	hash := sha256.New()
	for id := range seen {
		check(failed[id])
		fmt.Fprintln(hash, seen[id])
	}
	fmt.Printf("   %x\n", hash.Sum(nil))
	query(db, "SELECT COUNT(*), SUM(id), MIN(body), MAX(body) FROM concurrent")
	exec(db, "DROP TABLE concurrent")
}

// oneQuery writes in one of three ways and reads what it wrote.
func oneQuery(db *sql.DB, id int) (string, error) {
	insert, wanted := "INSERT INTO concurrent VALUES (?, ?)", fmt.Sprint("row ", id)
	var err error
	switch id % 3 {
	case 0:
		_, err = db.Exec(insert, id, wanted)
	case 1:
		_, err = db.Exec(fmt.Sprintf("INSERT INTO concurrent VALUES (%d, '%s')", id, wanted))
	default:
		var transaction *sql.Tx
		if transaction, err = db.Begin(); err != nil {
			return "", err
		}
		if _, err = transaction.Exec(insert, id, wanted); err == nil {
			err = transaction.Commit()
		}
	}
	if err != nil {
		return "", fmt.Errorf("query %d: %w", id, err)
	}
	var body, asked string
	err = db.QueryRow("SELECT body, ? FROM concurrent WHERE id = ?", fmt.Sprint("asked ", id), id).Scan(&body, &asked)
	if err == nil && (body != wanted || asked != fmt.Sprint("asked ", id)) {
		err = fmt.Errorf("query %d got the answer of another: %s, %s", id, body, asked)
	}
	return body + asked, err
}

func streaming(connect open) {
	db := connect("")
	defer db.Close()
	exec(db, "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))")
	var values []string
	for id := 0; id < streamedRows; id++ {
		values = append(values, fmt.Sprintf("(%d, '%s')", id, strings.Repeat("ab", id%100)))
	}
	_, err := db.Exec("INSERT INTO streamed VALUES " + strings.Join(values, ", "))
	check(err)
	for _, arguments := range [][]interface{}{nil, {-1}} {
		statement := "SELECT * FROM streamed ORDER BY id"
		if len(arguments) > 0 {
			statement = "SELECT * FROM streamed WHERE id > ? ORDER BY id"
		}
		rows, err := db.Query(statement, arguments...)
		check(err)
		hash, count := sha256.New(), 0
		for rows.Next() {
			var id int
			var body []byte
			check(rows.Scan(&id, &body))
			fmt.Fprintln(hash, id, body)
			count++
		}
		check(rows.Err())
		expect(count == streamedRows, fmt.Sprint(count, " rows came"))
		fmt.Printf("   %d %x\n", count, hash.Sum(nil))
		// A result that is left early is read away.
		rows, err = db.Query(statement, arguments...)
		check(err)
		expect(rows.Next(), "there is a row")
		check(rows.Close())
	}
	query(db, "SELECT COUNT(*) FROM streamed")
	exec(db, "DROP TABLE streamed")
}

func severalResults(connect open) {
	db := connect("multiStatements=true")
	defer db.Close()
	db.SetMaxOpenConns(1)
	query(db, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4 WHERE 1 = 0")
	exec(db, "CREATE TABLE several (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO several VALUES (), (), ()")
	exec(db, "CREATE PROCEDURE shown(IN least INT) BEGIN SELECT * FROM several WHERE id >= least; SELECT 'second'; END")
	query(db, "CALL shown(2)")
	query(db, "CALL shown(?)", 3)
	exec(db, "DROP PROCEDURE shown; DROP TABLE several")
	query(db, "SELECT 'still in step'")
}

func refusals(connect open) {
	db := connect("")
	defer db.Close()
	exec(db, "CREATE TABLE refusals (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)")
	exec(db, "INSERT INTO refusals VALUES (?, ?)", 1, "one")
	for _, refusal := range []struct {
		code      uint16
		statement string
		arguments []interface{}
	}{
		{1062, "INSERT INTO refusals VALUES (1, 'eins')", nil},
		{1062, "INSERT INTO refusals VALUES (?, ?)", []interface{}{1, "eins"}},
		{1064, "SELEKT 1", nil},
		{1064, "SELEKT ?", []interface{}{1}},
		{1064, "SELECT 1; SELECT 2", nil},
		{1146, "SELECT * FROM no_such_table", nil},
		{1146, "SELECT * FROM no_such_table WHERE id = ?", []interface{}{1}},
		{1048, "INSERT INTO refusals VALUES (?, ?)", []interface{}{2, nil}},
		{1406, "INSERT INTO refusals VALUES (?, ?)", []interface{}{2, "too long"}},
	} {
		_, err := db.Exec(refusal.statement, refusal.arguments...)
		tellError(err, refusal.code)
	}
	query(db, "SELECT * FROM refusals")
	exec(db, "DROP TABLE refusals")
}
