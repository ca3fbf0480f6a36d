//! mysql_async, as an application uses it: prints what it saw, fails when that is not what it should have seen.
//!
//! Usage: athena-driver-mysql-async HOST PORT USER PASSWORD DATABASE
//!
//! The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.

mod tell;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use mysql_async::prelude::{BatchQuery, Queryable, WithParams};
use mysql_async::{
    Conn, Error, IsolationLevel, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, TxOpts, Value,
};
use sha2::{Digest, Sha256};

use tell::{both, exec, hex, query, refused, say};

const BATCH_ROWS: u32 = 500;
const MANY_STATEMENTS: u32 = 300;
const STREAMED_ROWS: u32 = 5000;
const POOL_CONNECTIONS: usize = 5;
const POOL_TASKS: u32 = 200;
/// A row of this many bytes needs a second packet.
const LONG_BLOB: usize = 17 * 1024 * 1024;

type Result<T = ()> = std::result::Result<T, Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, password, database] = arguments.as_slice() else { panic!("five arguments") };
    let opts = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port.parse().expect("a port"))
        .user(Some(user))
        .pass(Some(password))
        .db_name(Some(database))
        .prefer_socket(false);
    section("greeting");
    greeting(&opts).await?;
    section("types");
    types(&opts).await?;
    section("parameters");
    parameters(&opts).await?;
    section("prepared");
    prepared(&opts).await?;
    section("batches");
    batches(&opts).await?;
    section("transactions");
    transactions(&opts).await?;
    section("several results");
    several_results(&opts).await?;
    section("streaming");
    streaming(&opts).await?;
    section("long values");
    long_values(&opts).await?;
    section("commands");
    commands(&opts).await?;
    section("errors");
    errors(&opts).await?;
    section("pool");
    pool(&opts).await
}

fn section(name: &str) {
    println!("== {name}");
}

async fn connect(opts: &OptsBuilder) -> Result<Conn> {
    Conn::new(opts.clone()).await
}

async fn greeting(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    say("server", conn.server_version());
    both(&mut conn, "SELECT VERSION(), DATABASE(), CURRENT_USER(), USER()").await?;
    both(&mut conn, "SELECT @@character_set_client, @@collation_connection, @@autocommit, @@sql_mode")
        .await?;
    conn.disconnect().await?;
    let opts = opts.clone().db_name(None::<String>).init(vec!["SET time_zone = '+05:30'", "SET @mine = 1"]);
    let mut conn = connect(&opts.client_found_rows(true)).await?;
    both(&mut conn, "SELECT DATABASE(), @@time_zone, @mine").await?;
    conn.disconnect().await
}

const COLUMNS: &str = "id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, tiny TINYINT, tiny_u TINYINT UNSIGNED,
    small SMALLINT, medium MEDIUMINT UNSIGNED, normal INT, big BIGINT, big_u BIGINT UNSIGNED, price DECIMAL(40,10), ratio FLOAT,
    exact DOUBLE, day DATE, hours TIME(6), moment DATETIME, micro DATETIME(6), stamp TIMESTAMP(3) NULL, in_year YEAR,
    letters CHAR(10), words VARCHAR(200), latin VARCHAR(20) CHARACTER SET latin1, story LONGTEXT, raw_fixed BINARY(4),
    raw VARBINARY(300), blob_long LONGBLOB, bits BIT(20), colour ENUM('red', 'blue'), tags SET('a', 'b', 'c'), doc JSON, spot POINT";
const ROWS: [&str; 4] = [
    "1, -1, 255, -300, 70000, -70000, -5000000000, 5000000000, 1234.5678, 0.5, 0.1, '2024-02-29', '-12:34:56.000001',
     '2024-02-29 23:59:58', '2024-02-29 23:59:58.123456', '2024-07-01 12:00:00.123', 2024, 'Grüße', '👍 日本語', 'ÿ', 'a story',
     x'00ff275c', x'0001fefbfcfdff', x'fb', 0x0abcde, 'blue', 'a,c', '{\"a\": [1, null, \"ü\"]}', ST_GeomFromText('POINT(1.5 -2)')",
    "2, -128, 0, -32768, 0, -2147483648, -9223372036854775808, 0, -999999999999999999999999999999.9999999999, -1.5,
     -1.7976931348623157e308, '1000-01-01', '-837:59:59', '1000-01-01', '1000-01-01', '1971-01-01', 1901, '', '', '', '', '', '', '',
     0, 'red', '', '[]', NULL",
    "3, 127, 255, 32767, 16777215, 2147483647, 9223372036854775807, 18446744073709551615,
     999999999999999999999999999999.9999999999, 65536, 1.7976931348623157e308, '9999-12-31', '837:59:58.999999',
     '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999', '2037-12-31 23:59:59.999', 2155, REPEAT('👍', 10), REPEAT('ü', 126),
     REPEAT('ÿ', 20), REPEAT('s', 65536), REPEAT(x'ff', 4), REPEAT(x'fb', 300), REPEAT(x'ff', 70000), 0x0fffff, 'blue', 'a,b,c',
     '{\"deep\": [[[1]]]}', ST_GeomFromText('POINT(0 0)')",
    "4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
];

async fn types(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    query(&mut conn, &format!("CREATE TABLE types ({COLUMNS})")).await?;
    for row in ROWS {
        exec(&mut conn, &format!("INSERT INTO types VALUES ({row})"), ()).await?;
    }
    let rows = both(&mut conn, "SELECT * FROM types ORDER BY id").await?;
    assert_eq!(rows.len(), ROWS.len());
    exec(&mut conn, "SELECT * FROM types WHERE id > ? ORDER BY id", (2,)).await?;
    both(&mut conn, "SELECT 1 WHERE 1 = 0").await?;
    both(&mut conn, "SELECT '' AS a, NULL AS b UNION ALL SELECT 'x', ''").await?;
    query(&mut conn, "SET sql_mode = 'ALLOW_INVALID_DATES'").await?;
    query(&mut conn, "INSERT INTO types (id, day, moment) VALUES (5, '0000-00-00', '2024-02-31')").await?;
    both(&mut conn, "SELECT day, moment FROM types WHERE id = 5").await?;
    // What a row in one protocol says, it says in the other.
    exec(&mut conn, "CREATE TABLE copied LIKE types", ()).await?;
    let marks = vec!["?"; 28].join(", ");
    for mut row in exec(&mut conn, "SELECT * FROM types ORDER BY id", ()).await? {
        let values: Vec<Value> = (0..28).map(|index| row.take(index).expect("a value")).collect();
        let sql = format!("INSERT INTO copied VALUES ({marks}, NULL)");
        exec(&mut conn, &sql, Params::Positional(values)).await?;
    }
    query(&mut conn, "SELECT * FROM copied ORDER BY id").await?;
    query(&mut conn, "DROP TABLE types, copied").await?;
    conn.disconnect().await
}

async fn parameters(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    let values: [Value; 12] = [
        42.into(),
        "text 👍".into(),
        Value::NULL,
        1.5f64.into(),
        (-1i64).into(),
        u64::MAX.into(),
        true.into(),
        vec![0u8, 1, 254, 255].into(),
        Value::Date(2024, 2, 29, 12, 34, 56, 789_012),
        Value::Time(true, 34, 21, 59, 58, 1),
        "".into(),
        i64::MIN.into(),
    ];
    // One statement, and each time parameters of other types.
    let statement = conn.prep("SELECT ? AS a, ? AS b, ? AS c").await?;
    say("statement", (statement.num_params(), statement.num_columns()));
    for (number, value) in values.iter().enumerate() {
        let other = values[values.len() - 1 - number].clone();
        let rows: Vec<mysql_async::Row> = conn.exec(&statement, (number, value.clone(), other)).await?;
        say(
            "rows",
            rows.iter()
                .map(|row| (row.columns_ref()[1].column_type(), row.clone().unwrap()))
                .collect::<Vec<_>>(),
        );
    }
    conn.close(statement).await?;
    let named = vec![("id", Value::from(7)), ("name", Value::from("named"))];
    exec(&mut conn, "SELECT :name AS name, :id + :id AS doubled", named).await?;
    refused(1064, conn.prep("SELEKT ?").await);
    query(&mut conn, "SELECT 'still in step'").await?;
    conn.disconnect().await
}

async fn prepared(opts: &OptsBuilder) -> Result {
    for cached in [0, 32, MANY_STATEMENTS as usize] {
        let mut conn = connect(&opts.clone().stmt_cache_size(cached)).await?;
        let mut seen = Sha256::new();
        for round in 0..2 {
            for number in 0..MANY_STATEMENTS {
                let sum: Option<u32> = conn.exec_first(format!("SELECT {number} + ?"), (round,)).await?;
                assert_eq!(sum, Some(number + round));
                seen.update(sum.unwrap_or_default().to_be_bytes());
            }
        }
        say("seen", hex(&seen.finalize()));
        query(&mut conn, "CREATE TABLE altered (a INT)").await?;
        exec(&mut conn, "INSERT INTO altered VALUES (?)", (1,)).await?;
        exec(&mut conn, "SELECT * FROM altered WHERE a = ?", (1,)).await?;
        query(&mut conn, "ALTER TABLE altered ADD COLUMN b VARCHAR(10) DEFAULT 'new', MODIFY a BIGINT")
            .await?;
        exec(&mut conn, "SELECT * FROM altered WHERE a = ?", (1,)).await?;
        query(&mut conn, "DROP TABLE altered").await?;
        refused(1146, exec(&mut conn, "SELECT * FROM altered WHERE a = ?", (1,)).await);
        conn.disconnect().await?;
    }
    Ok(())
}

async fn batches(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    query(&mut conn, "CREATE TABLE batched (id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE, b VARCHAR(50))")
        .await?;
    let insert = "INSERT INTO batched (a, b) VALUES (?, ?)";
    let rows = (0..BATCH_ROWS).map(|number| ((number % 7 != 6).then_some(number), format!("row {number}")));
    conn.exec_batch(insert, rows).await?;
    let twice = [(1000, "before"), (1, "twice"), (1001, "after")];
    refused(1062, insert.with(twice).batch(&mut conn).await);
    query(&mut conn, "SELECT COUNT(*), SUM(a), COUNT(a) FROM batched").await?;
    query(&mut conn, "TRUNCATE TABLE batched").await?;
    exec(&mut conn, "INSERT INTO batched (a) VALUES (?), (?)", (1, 2)).await?;
    exec(&mut conn, "INSERT INTO batched (a) VALUES (?) ON DUPLICATE KEY UPDATE b = ?", (1, "changed"))
        .await?;
    exec(&mut conn, "UPDATE batched SET a = a WHERE id < ?", (100,)).await?;
    query(&mut conn, "DROP TABLE batched").await?;
    conn.disconnect().await
}

async fn transactions(opts: &OptsBuilder) -> Result {
    let (mut writer, mut reader) = (connect(opts).await?, connect(opts).await?);
    query(&mut writer, "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)").await?;
    let mut transaction = writer.start_transaction(TxOpts::default()).await?;
    exec(&mut transaction, "INSERT INTO accounts VALUES (?, ?), (2, 50)", (1, 100)).await?;
    assert_eq!(money(&mut reader).await?, None, "nobody sees what is not committed");
    transaction.commit().await?;
    assert_eq!(money(&mut reader).await?, Some(150), "everybody sees what is committed");
    let levels =
        [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted, IsolationLevel::RepeatableRead];
    for level in levels {
        let mut reading =
            reader.start_transaction(TxOpts::default().with_isolation_level(level).clone()).await?;
        let mut seen = vec![money(&mut reading).await?];
        let mut writing = writer.start_transaction(TxOpts::default()).await?;
        writing.exec_drop("UPDATE accounts SET money = money + ? WHERE id = ?", (1, 1)).await?;
        seen.push(money(&mut reading).await?);
        writing.commit().await?;
        seen.push(money(&mut reading).await?);
        reading.rollback().await?;
        say("seen", (level, seen, money(&mut reader).await?));
    }
    let mut opts = TxOpts::default();
    let mut snapshot =
        reader.start_transaction(opts.with_consistent_snapshot(true).with_readonly(true).clone()).await?;
    refused(1792, exec(&mut snapshot, "DELETE FROM accounts", ()).await);
    writer.query_drop("UPDATE accounts SET money = 0").await?;
    say("snapshot", money(&mut snapshot).await?);
    snapshot.rollback().await?;
    // Dropped without a commit, it is rolled back before the next statement.
    let mut dropped = writer.start_transaction(TxOpts::default()).await?;
    dropped.query_drop("DELETE FROM accounts").await?;
    drop(dropped);
    query(&mut writer, "SELECT * FROM accounts ORDER BY id").await?;
    query(&mut writer, "DROP TABLE accounts").await?;
    writer.disconnect().await?;
    reader.disconnect().await
}

async fn money(conn: &mut impl Queryable) -> Result<Option<i64>> {
    Ok(conn.query_first("SELECT CAST(SUM(money) AS SIGNED) FROM accounts").await?.flatten())
}

async fn several_results(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    query(&mut conn, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4 WHERE 1 = 0")
        .await?;
    let sql = "CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO multi VALUES (), (); SELECT * FROM multi";
    query(&mut conn, sql).await?;
    refused(1146, query(&mut conn, "SELECT 1; SELECT * FROM no_such_table; SELECT 2").await);
    let sql = "CREATE PROCEDURE both_ways(IN a INT, OUT doubled INT, INOUT sum BIGINT)
        BEGIN SET doubled = a * 2, sum = sum + a; SELECT a, 'first' AS name; SELECT sum; END";
    query(&mut conn, sql).await?;
    query(&mut conn, "SET @sum = 100").await?;
    query(&mut conn, "CALL both_ways(21, @doubled, @sum)").await?;
    exec(&mut conn, "CALL both_ways(?, @doubled, @sum)", (-3,)).await?;
    // OUT parameters of a prepared CALL come as a result of their own.
    exec(&mut conn, "CALL both_ways(?, ?, ?)", (5, 0, 7)).await?;
    both(&mut conn, "SELECT @doubled, @sum").await?;
    query(&mut conn, "DROP PROCEDURE both_ways; DROP TABLE multi").await?;
    conn.disconnect().await
}

async fn streaming(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    query(&mut conn, "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))").await?;
    let rows: Vec<String> = (0..STREAMED_ROWS)
        .map(|id| format!("({id}, '{}')", id.to_string().repeat((id % 40) as usize)))
        .collect();
    conn.query_drop(format!("INSERT INTO streamed VALUES {}", rows.join(", "))).await?;
    for least in [None, Some(1)] {
        let (mut seen, mut count) = (Sha256::new(), 0);
        let mut add = |(id, body): (u32, String)| {
            seen.update(format!("{id}{body}"));
            count += 1;
        };
        match least {
            None => {
                let mut stream = conn.query_stream("SELECT * FROM streamed ORDER BY id").await?;
                while let Some(row) = stream.next().await {
                    add(row?);
                }
            }
            Some(least) => {
                let sql = "SELECT * FROM streamed WHERE id >= ? ORDER BY id";
                let mut stream = conn.exec_stream(sql, (least,)).await?;
                while let Some(row) = stream.next().await {
                    add(row?);
                }
            }
        }
        say("streamed", (count, hex(&seen.finalize())));
        // Left early, the rest is read away.
        let mut stream = conn.query_stream::<(u32, String), _>("SELECT * FROM streamed ORDER BY id").await?;
        assert!(stream.next().await.is_some(), "there is a row");
        drop(stream);
        query(&mut conn, "SELECT COUNT(*) FROM streamed").await?;
    }
    query(&mut conn, "DROP TABLE streamed").await?;
    conn.disconnect().await
}

async fn long_values(opts: &OptsBuilder) -> Result {
    let body: Vec<u8> = (0..LONG_BLOB).map(|index| (index * 31 + (index >> 8)) as u8).collect();
    let mut conn = connect(&opts.clone().max_allowed_packet(Some(1 << 30))).await?;
    query(&mut conn, "CREATE TABLE blobs (id INT PRIMARY KEY, body LONGBLOB)").await?;
    conn.exec_drop("INSERT INTO blobs VALUES (?, ?)", (1, &body)).await?;
    query(&mut conn, "SELECT id, LENGTH(body), SHA2(body, 256) FROM blobs").await?;
    let rows: Vec<(Vec<u8>, u8, Vec<u8>)> = conn.exec("SELECT body, id, body FROM blobs", ()).await?;
    assert!(rows.len() == 1 && rows[0].0 == body && rows[0].2 == body, "the blob comes back");
    let again: Option<Vec<u8>> = conn.query_first("SELECT body FROM blobs").await?;
    assert!(again.as_deref() == Some(&body[..]), "and as text");
    query(&mut conn, "DROP TABLE blobs").await?;
    conn.disconnect().await
}

async fn commands(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    conn.ping().await?;
    query(&mut conn, "SET @mine = 1, time_zone = '+05:30'").await?;
    query(&mut conn, "CREATE TEMPORARY TABLE scratch (a INT)").await?;
    exec(&mut conn, "SELECT @mine, @@time_zone", ()).await?;
    say("reset", conn.reset().await?);
    exec(&mut conn, "SELECT @mine, @@time_zone, DATABASE()", ()).await?;
    refused(1146, query(&mut conn, "SELECT * FROM scratch").await);
    conn.disconnect().await
}

async fn errors(opts: &OptsBuilder) -> Result {
    let mut conn = connect(opts).await?;
    query(&mut conn, "CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)").await?;
    query(&mut conn, "INSERT INTO errors VALUES (1, 'one')").await?;
    let refusals = [
        (1062, "INSERT INTO errors VALUES (1, 'eins')"),
        (1064, "SELEKT 'zwei' FROM errors"),
        (1146, "SELECT * FROM no_such_table"),
        (1054, "SELECT `no such column ü` FROM errors"),
        (1048, "INSERT INTO errors VALUES (2, NULL)"),
        (1406, "INSERT INTO errors VALUES (2, 'too long')"),
        (1305, "CALL no_such_procedure()"),
    ];
    for (code, sql) in refusals {
        refused(code, query(&mut conn, sql).await);
        refused(code, exec(&mut conn, sql, ()).await);
    }
    both(&mut conn, "SELECT 1 / 0, CAST('12 apples' AS SIGNED)").await?;
    query(&mut conn, "SHOW WARNINGS").await?;
    exec(&mut conn, "INSERT IGNORE INTO errors VALUES (1, 'uno'), (3, 'cut off here')", ()).await?;
    query(&mut conn, "DROP TABLE errors").await?;
    conn.disconnect().await?;
    refused(1045, connect(&opts.clone().pass(Some("wrong"))).await);
    refused(1049, connect(&opts.clone().db_name(Some("no_such_database"))).await);
    Ok(())
}

/// A pool resets a connection when it comes back.
async fn pool(opts: &OptsBuilder) -> Result {
    let constraints = PoolConstraints::new(1, POOL_CONNECTIONS).expect("one is less");
    let opts: Opts = opts.clone().pool_opts(PoolOpts::default().with_constraints(constraints)).into();
    let pool = Pool::new(opts);
    let mut conn = pool.get_conn().await?;
    query(&mut conn, "CREATE TABLE pooled (id INT PRIMARY KEY, body VARCHAR(50))").await?;
    drop(conn);
    let bodies = try_join_all((0..POOL_TASKS).map(|id| pooled(&pool, id))).await?;
    say("bodies", bodies);
    let mut conn = pool.get_conn().await?;
    query(&mut conn, "SELECT COUNT(*), SUM(id), MIN(body), MAX(body) FROM pooled").await?;
    query(&mut conn, "DROP TABLE pooled").await?;
    drop(conn);
    pool.disconnect().await
}

async fn pooled(pool: &Pool, id: u32) -> Result<Option<String>> {
    let mut conn = pool.get_conn().await?;
    let before: Option<Option<u32>> = conn.query_first("SELECT @id").await?;
    assert_eq!(before, Some(None), "the session of another");
    conn.query_drop(format!("SET @id = {id}")).await?;
    conn.exec_drop("INSERT INTO pooled VALUES (?, ?)", (id, format!("row {id}"))).await?;
    let after: Option<(String, u32)> =
        conn.exec_first("SELECT body, @id FROM pooled WHERE id = @id", ()).await?;
    Ok(after.map(|(body, own)| {
        assert_eq!(own, id, "the answer of another");
        body
    }))
}
