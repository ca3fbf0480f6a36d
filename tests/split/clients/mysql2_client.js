// What mysql2 says in the conversation that is cut: nothing here may depend on the run.
//
// Usage: mysql2_client.js PORT USER PASSWORD DATABASE [compress]
'use strict';

const assert = require('node:assert');
const mysql = require('mysql2/promise');

const [port, user, password, database, compress] = process.argv.slice(2);

async function main() {
  const connection = await mysql.createConnection({
    host: '127.0.0.1', port: Number(port), user, password, database,
    multipleStatements: true, compress: Boolean(compress),
  });
  await connection.query('DROP TABLE IF EXISTS t');
  await connection.query('CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(300), c DOUBLE)');
  const insert = await connection.prepare('INSERT INTO t VALUES (?, ?, ?)');
  for (const row of [[1, '', 1.5], [2, null, null], [3, 'z'.repeat(280), -0.25]]) {
    await insert.execute(row);
  }
  await insert.close();
  const [rows] = await connection.execute('SELECT * FROM t WHERE a > ? ORDER BY a', [1]);
  assert.strictEqual(rows.length, 2);
  await connection.execute('SELECT * FROM t WHERE a > ? ORDER BY a', [2]);
  await assert.rejects(connection.execute('INSERT INTO t VALUES (?, ?, ?)', [1, 'twice', 0]));
  await assert.rejects(connection.execute('SELECT nonsense FROM t WHERE a = ?', [1]));
  const [results] = await connection.query('SELECT 1; SELECT 2, 3; DO 0');
  assert.strictEqual(results.length, 3);
  await connection.beginTransaction();
  await connection.execute('DELETE FROM t WHERE a = ?', [1]);
  await connection.rollback();
  await connection.ping();
  connection.unprepare('SELECT * FROM t WHERE a > ? ORDER BY a');
  if (!compress) {
    await connection.changeUser({ user, password, database });
    await connection.query('SELECT DATABASE()');
  }
  await connection.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
