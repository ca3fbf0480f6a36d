// mysql2, as an application uses it: prints what it saw, exits non-zero when that is not what it should have seen.
//
// Usage: main.js HOST PORT USER PASSWORD DATABASE
//
// The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
// query() speaks the text protocol, execute() prepares statements and keeps them.

"use strict";

const assert = require("node:assert/strict");
const { createHash } = require("node:crypto");
const mysql = require("mysql2/promise");

const POOL_CONNECTIONS = 10;
const POOL_QUERIES = 200;
const STREAMED_ROWS = 5000;
const BLOB_BYTES = 2 * 1024 * 1024;
// More than a proxy may want to keep open on one link.
const MANY_STATEMENTS = 300;
// Longer values are printed as a digest.
const LONGEST_SHOWN = 300;
// "The session's state has changed": which state the server reports is a proxy's own business on its links.
const STATE_CHANGED = 0x4000;

const COLUMNS = `
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, tiny TINYINT, tiny_u TINYINT UNSIGNED, small SMALLINT,
  medium MEDIUMINT UNSIGNED, normal INT, big BIGINT, big_u BIGINT UNSIGNED, price DECIMAL(20,6), ratio FLOAT,
  exact DOUBLE, day DATE, hours TIME, hours_micro TIME(6), moment DATETIME, moment_micro DATETIME(6),
  stamp TIMESTAMP(3) NULL, in_year YEAR, letters CHAR(10), words VARCHAR(200) UNIQUE, story LONGTEXT,
  raw_fixed BINARY(4), raw VARBINARY(300), blob_long LONGBLOB, bits BIT(20), colour ENUM('red', 'blue'),
  tags SET('a', 'b', 'c'), doc JSON`;
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const ROWS = [
  {
    tiny: -1, tiny_u: 255, small: -300, medium: 70000, normal: -70000, big: -5000000000, big_u: 5000000000,
    price: "1234.567800", ratio: 0.5, exact: 0.1, day: "2024-02-29", hours: "-12:34:56",
    hours_micro: "01:02:03.000004", moment: "2024-02-29 23:59:58", moment_micro: "2024-02-29 23:59:58.123456",
    stamp: new Date("2024-07-01T12:00:00.123Z"), in_year: 2024, letters: "Grüße", words: "👍 日本語 'quoted\" \\ \0", story: "a story",
    raw_fixed: Buffer.from("\0\xff'\\", "latin1"),
    raw: ALL_BYTES, blob_long: Buffer.concat([ALL_BYTES, ALL_BYTES]), bits: Buffer.from([0x0a, 0xbc, 0xde]),
    colour: "blue", tags: "a,c", doc: JSON.stringify({ a: [1, null, "ü"] }),
  },
  {
    tiny: -128, tiny_u: 0, small: -32768, medium: 0, normal: -2147483648, big: "-9223372036854775808", big_u: 0,
    price: "-99999999999999.999999", ratio: -1.5, exact: -1.7976931348623157e308, day: "1000-01-01", hours: "-838:59:59",
    hours_micro: "00:00:00.000000", moment: "1000-01-01 00:00:00", moment_micro: "1000-01-01 00:00:00.000000",
    stamp: new Date("1971-01-01T00:00:00Z"), in_year: 1901, letters: "", words: "", story: "", raw_fixed: Buffer.alloc(4),
    raw: Buffer.alloc(0), blob_long: Buffer.alloc(0), bits: Buffer.alloc(3), colour: "red", tags: "", doc: "[]",
  },
  {
    tiny: 127, tiny_u: 255, small: 32767, medium: 16777215, normal: 2147483647, big: "9223372036854775807",
    big_u: "18446744073709551615", price: "99999999999999.999999", ratio: 65536, exact: 1.7976931348623157e308,
    day: "9999-12-31", hours: "838:59:59", hours_micro: "838:59:58.999999", moment: "9999-12-31 23:59:59",
    moment_micro: "9999-12-31 23:59:59.999999", stamp: new Date("2037-12-31T23:59:59.999Z"), in_year: 2155,
    letters: "👍".repeat(10), words: "ü".repeat(126), story: "s".repeat(65536), raw_fixed: Buffer.alloc(4, 0xff),
    raw: Buffer.alloc(300, 0xfb), blob_long: Buffer.alloc(70000, 0xff), bits: Buffer.from([0x0f, 0xff, 0xff]),
    colour: "blue", tags: "a,b,c", doc: JSON.stringify(Array.from({ length: 300 }, (_, number) => number)),
  },
  { tiny: null, price: null, day: null, hours: null, moment_micro: null, stamp: null, words: null, raw: null, doc: null },
];

async function types(connect) {
  const connection = await connect();
  await run(connection, "query", `CREATE TABLE types (${COLUMNS})`);
  for (const way of ["query", "execute"]) {
    for (const row of ROWS) {
      const [names, values] = [Object.keys(row), Object.values(row)];
      const marks = names.map(() => "?").join(", ");
      await run(connection, way, `INSERT INTO types (${names.join(", ")}) VALUES (${marks})`, values);
    }
    const stored = [await run(connection, "query", "SELECT * FROM types ORDER BY id")];
    stored.push(await run(connection, "execute", "SELECT * FROM types ORDER BY id"));
    stored.forEach((rows) => rows.forEach((row, number) => checkRow(ROWS[number], row)));
    await run(connection, "query", "TRUNCATE TABLE types");
  }
  await run(connection, "execute", "SELECT 1 WHERE 1 = 0");
  await run(connection, "execute", "SELECT '' AS a, NULL AS b UNION ALL SELECT 'x', ''");
  await run(connection, "query", "DROP TABLE types");
  await connection.end();
}

// What the two protocols show in one way, whatever the time zone.
function checkRow(sent, got) {
  const numbers = ["tiny", "tiny_u", "small", "medium", "normal", "price", "exact"];
  for (const name of [...numbers, "hours", "words", "story", "raw", "blob_long", "bits"]) {
    assert.deepEqual(got[name], sent[name] ?? null, name);
  }
  assert.equal(got.stamp?.getTime(), sent.stamp?.getTime(), "stamp");
}

async function parameters(connect) {
  const connection = await connect();
  await run(connection, "query", `CREATE TABLE parameters
    (id INT PRIMARY KEY, a BIGINT, b DOUBLE, c TEXT, d DATETIME(3), e BLOB)`);
  const moment = new Date("2024-02-29T12:34:56.789Z");
  const values = [42, "text 👍", null, moment, Buffer.from([0, 1, 254, 255]), true, 1.5, "", -1];
  for (const [number, value] of values.entries()) {
    // One statement, and each time parameters of other types.
    await run(connection, "execute", "SELECT ? AS a, ? AS b", [number, value]);
  }
  for (let number = 0; number < 40; number += 1) {
    const day = new Date(Date.UTC(2024, 0, 1 + number));
    const bytes = Buffer.alloc(number, number);
    const row = [number, number % 3 ? number : null, number / 4, `row ${number}`, day, bytes];
    await connection.execute("INSERT INTO parameters VALUES (?, ?, ?, ?, ?, ?)", row);
  }
  const some = "SELECT * FROM parameters WHERE id >= ? AND (a < ? OR a IS NULL) ORDER BY id";
  await run(connection, "execute", some, [3, 12]);
  await run(connection, "execute", "UPDATE parameters SET c = ? WHERE id IN (?, ?)", ["changed", 1, 2]);
  await run(connection, "execute", "DELETE FROM parameters WHERE id > ?", [5]);
  await run(connection, "query", "SELECT * FROM parameters WHERE c = ? AND id IN (?)", ["changed", [1, 2, 3]]);
  await run(connection, "query", "DROP TABLE parameters");
  await connection.end();
}

async function statements(connect) {
  const connection = await connect();
  const seen = [];
  for (let round = 0; round < 2; round += 1) {
    for (let number = 0; number < MANY_STATEMENTS; number += 1) {
      const [rows] = await connection.execute(`SELECT ${number} + ? AS sum`, [round]);
      assert.equal(rows[0].sum, number + round);
      seen.push(rows[0].sum);
    }
  }
  say("statements", seen);
  connection.unprepare("SELECT 0 + ? AS sum");
  await run(connection, "execute", "SELECT 0 + ? AS sum", [5]);
  const statement = await connection.prepare("SELECT ? AS a");
  say("explicit", (await statement.execute(["first"]))[0], (await statement.execute([2]))[0]);
  await statement.close();
  await run(connection, "query", "CREATE TABLE altered (a INT)");
  await run(connection, "execute", "INSERT INTO altered VALUES (?)", [1]);
  await run(connection, "execute", "SELECT * FROM altered");
  await run(connection, "query", "ALTER TABLE altered ADD COLUMN b VARCHAR(10) DEFAULT 'new'");
  await run(connection, "execute", "SELECT * FROM altered");
  await run(connection, "query", "DROP TABLE altered");
  await refused(connection, "execute", 1146, "SELECT * FROM altered");
  await connection.end();
}

async function transactions(connect) {
  const connection = await connect();
  const other = await connect();
  const count = async () => (await other.query("SELECT COUNT(*) AS count FROM accounts"))[0][0].count;
  await run(connection, "query", "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)");
  await connection.beginTransaction();
  await run(connection, "execute", "INSERT INTO accounts VALUES (?, ?)", [1, 100]);
  assert.equal(await count(), 0, "nobody sees what is not committed");
  await connection.commit();
  assert.equal(await count(), 1, "everybody sees what is committed");
  await connection.beginTransaction();
  await run(connection, "execute", "INSERT INTO accounts VALUES (?, ?)", [2, 50]);
  await refused(connection, "execute", 1062, "INSERT INTO accounts VALUES (?, ?)", [1, 1]);
  await run(connection, "query", "SELECT * FROM accounts");
  await connection.rollback();
  assert.equal(await count(), 1, "nothing is left");
  await run(connection, "query", "SET autocommit = 0");
  await run(connection, "execute", "DELETE FROM accounts WHERE id = ?", [1]);
  assert.equal(await count(), 1);
  await run(connection, "query", "SET autocommit = 1");
  assert.equal(await count(), 0, "autocommit commits when it is turned on");
  await run(connection, "query", "DROP TABLE accounts");
  await Promise.all([connection.end(), other.end()]);
}

async function pool(_, options) {
  const pool = mysql.createPool({ ...options, connectionLimit: POOL_CONNECTIONS });
  await pool.query("CREATE TABLE pooled (id INT PRIMARY KEY, body VARCHAR(50))");
  const each = async (number) => {
    const way = number % 2 ? "execute" : "query";
    await pool[way]("INSERT INTO pooled VALUES (?, ?)", [number, `row ${number}`]);
    const [rows] = await pool[way]("SELECT body, ? AS asked FROM pooled WHERE id = ?", [`asked ${number}`, number]);
    assert.deepEqual({ ...rows[0] }, { body: `row ${number}`, asked: `asked ${number}` });
    return rows[0].asked;
  };
  const seen = await Promise.all(Array.from({ length: POOL_QUERIES }, (_, number) => each(number)));
  say("pool", seen);
  // A transaction on a connection of its own, while others work.
  const connection = await pool.getConnection();
  await connection.beginTransaction();
  await connection.query("DELETE FROM pooled");
  const count = () => pool.query("SELECT COUNT(*) AS count FROM pooled");
  const counts = await Promise.all(Array.from({ length: 20 }, count));
  assert.ok(counts.every(([rows]) => rows[0].count === POOL_QUERIES), "nobody sees the transaction");
  await connection.rollback();
  connection.release();
  say("left", (await pool.query("SELECT COUNT(*) AS count, MIN(body) AS body FROM pooled"))[0]);
  await pool.query("DROP TABLE pooled");
  await pool.end();
}

async function typeCast(connect) {
  const text = await connect({
    typeCast: (field, next) => (field.type === "TINY" && field.length === 1 ? field.string() === "1" : next()),
  });
  await run(text, "query", `CREATE TABLE casts
    (yes TINYINT(1), big BIGINT UNSIGNED, moment DATETIME(6), price DECIMAL(10,2))`);
  await run(text, "query", "INSERT INTO casts VALUES (1, 18446744073709551615, '2024-02-29 01:02:03.456789', 1.50)");
  assert.equal((await run(text, "query", "SELECT * FROM casts"))[0].yes, true);
  const plain = await connect({ typeCast: false });
  await run(plain, "query", "SELECT * FROM casts");
  const exact = { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true, decimalNumbers: true };
  const strings = await connect(exact);
  for (const way of ["query", "execute"]) {
    const rows = await run(strings, way, "SELECT * FROM casts");
    assert.equal(rows[0].big, "18446744073709551615");
  }
  const arrays = await connect({ rowsAsArray: true, nestTables: false });
  await run(arrays, "query", "SELECT a.yes, b.yes FROM casts a JOIN casts b USING (yes)");
  await run(arrays, "query", "DROP TABLE casts");
  await Promise.all([text, plain, strings, arrays].map((connection) => connection.end()));
}

async function blob(connect) {
  const connection = await connect();
  const sent = Buffer.alloc(BLOB_BYTES);
  sent.forEach((_, index) => { sent[index] = (index * 31 + (index >> 8)) & 0xff; });
  await run(connection, "query", "CREATE TABLE blobs (id INT PRIMARY KEY, body LONGBLOB)");
  await run(connection, "query", "INSERT INTO blobs VALUES (1, ?)", [sent]);
  await run(connection, "execute", "INSERT INTO blobs VALUES (2, ?)", [sent]);
  for (const way of ["query", "execute"]) {
    const rows = await run(connection, way, "SELECT body, id FROM blobs ORDER BY id");
    assert.ok(rows.length === 2 && rows.every((row) => row.body.equals(sent)), "the blob comes back");
  }
  await run(connection, "query", "DROP TABLE blobs");
  await connection.end();
}

async function streaming(connect) {
  const connection = await connect();
  await run(connection, "query", "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))");
  const rows = Array.from({ length: STREAMED_ROWS }, (_, number) => [number, String(number).repeat(number % 40)]);
  await connection.query("INSERT INTO streamed VALUES ?", [rows]);
  const base = connection.connection;
  for (const make of [(sql) => base.query(sql), (sql) => base.execute(sql)]) {
    const hash = createHash("sha256");
    const stream = make("SELECT * FROM streamed ORDER BY id").stream({ highWaterMark: 5 });
    let count = 0;
    for await (const row of stream) {
      hash.update(JSON.stringify(row));
      count += 1;
      // Now and then a client that is slower than the server.
      if (count % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(count, STREAMED_ROWS);
    say("streamed", count, hash.digest("hex"));
  }
  await run(connection, "query", "DROP TABLE streamed");
  await connection.end();
}

async function errors(connect) {
  const connection = await connect();
  await run(connection, "query", "CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)");
  await run(connection, "query", "INSERT INTO errors VALUES (1, 'one')");
  for (const way of ["query", "execute"]) {
    await refused(connection, way, 1062, "INSERT INTO errors VALUES (1, 'eins')");
    await refused(connection, way, 1064, "SELEKT 1");
    await refused(connection, way, 1064, "SELECT 1; SELECT 2");
    await refused(connection, way, 1146, "SELECT * FROM no_such_table");
    await refused(connection, way, 1054, "SELECT nothing FROM errors");
    await refused(connection, way, 1048, "INSERT INTO errors VALUES (2, NULL)");
    await refused(connection, way, 1406, "INSERT INTO errors VALUES (2, ?)", ["too long"]);
  }
  await run(connection, "query", "INSERT IGNORE INTO errors VALUES (1, 'uno'), (3, 'cut off here')");
  await run(connection, "query", "SHOW WARNINGS");
  await connection.ping();
  await run(connection, "query", "SELECT * FROM errors");
  await run(connection, "query", "DROP TABLE errors");
  await connection.end();
  for (const wrong of [{ password: "wrong" }, { user: "nobody" }, { database: "no_such_database" }]) {
    const error = await connect(wrong).then(() => assert.fail("logged in"), (error) => error);
    say("login", error.code, error.errno, error.sqlState, error.sqlMessage);
  }
}

async function multipleStatements(connect) {
  const connection = await connect({ multipleStatements: true });
  await run(connection, "query", "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; SELECT 3 AS d WHERE 1 = 0");
  await run(connection, "query", `CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY);
    INSERT INTO multi VALUES (), ()`);
  await run(connection, "query", `CREATE PROCEDURE both_ways()
    BEGIN SELECT * FROM multi; SELECT 'second' AS name; END`);
  await run(connection, "query", "CALL both_ways()");
  await run(connection, "execute", "CALL both_ways()");
  await refused(connection, "query", 1146, "SELECT 1; SELECT * FROM no_such_table; SELECT 2");
  await run(connection, "query", "DROP PROCEDURE both_ways; DROP TABLE multi");
  await run(connection, "query", "SELECT 'still in step' AS step");
  await connection.end();
}

// Runs a statement, prints all that mysql2 tells about it, returns the rows.
async function run(connection, way, sql, values) {
  const [result, fields] = await connection[way](sql, values);
  process.stdout.write(`-- ${way} ${JSON.stringify(sql)}\n`);
  tell(result, fields);
  return result;
}

function tell(result, fields) {
  if (Array.isArray(fields) && (Array.isArray(fields[0]) || fields.includes(undefined))) {
    result.forEach((one, number) => tell(one, fields[number]));
    return;
  }
  for (const field of fields ?? []) {
    const { name, orgName, table, orgTable, schema, columnType, columnLength, characterSet, flags, decimals } = field;
    say("column", name, orgName, table, orgTable, schema, columnType, columnLength, characterSet, flags, decimals);
  }
  if (Array.isArray(result)) {
    result.forEach((row) => say("row", ...Object.values(row)));
  } else {
    const { affectedRows, changedRows, insertId, info, serverStatus, warningStatus } = result;
    say("result", affectedRows, changedRows, insertId, info, serverStatus & ~STATE_CHANGED, warningStatus);
  }
}

async function refused(connection, way, code, sql, values) {
  const error = await connection[way](sql, values).then(() => assert.fail(`${sql} should fail`), (error) => error);
  say("error", error.code, error.errno, error.sqlState, error.sqlMessage);
  assert.equal(error.errno, code, sql);
}

function say(what, ...values) {
  process.stdout.write(`   ${what}: ${values.map(shown).join(", ")}\n`);
}

function shown(value) {
  // undefined is no JSON.
  const text = Buffer.isBuffer(value) ? `<${value.toString("hex")}>` : JSON.stringify(value) ?? "undefined";
  if (text.length <= LONGEST_SHOWN) return text;
  return `<${text.length}, ${createHash("sha256").update(text).digest("hex")}>`;
}

const SECTIONS = [types, parameters, statements, transactions, pool, typeCast, blob, streaming, errors, multipleStatements];

async function main() {
  const [host, port, user, password, database] = process.argv.slice(2);
  const options = { host, port: Number(port), user, password, database };
  const connect = (more) => mysql.createConnection({ ...options, ...more });
  for (const section of SECTIONS) {
    process.stdout.write(`== ${section.name}\n`);
    await section(connect, options);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
