import java.io.ByteArrayInputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.security.MessageDigest;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.mariadb.jdbc.MariaDbPoolDataSource;

/**
 * MariaDB Connector/J, as an application uses it: prints what it saw, exits non-zero when that is not what it should have seen.
 *
 * <p>Usage: Main HOST PORT USER PASSWORD DATABASE
 *
 * <p>The database must be empty. What is printed must not depend on the run: no ids of connections, no ports, no times.
 */
public final class Main {
    private static final int BATCH_ROWS = 500;
    private static final int STREAMED_ROWS = 5000;
    private static final int POOL_CONNECTIONS = 5;
    private static final int POOL_TASKS = 200;
    private static final int MANY_STATEMENTS = 300;
    /** A row of this many bytes needs a second packet. */
    private static final int LONG_BLOB = 17 * 1024 * 1024;
    /** Whether statements are prepared on the server or by the driver. */
    private static final String[] WAYS = {"useServerPrepStmts=false", "useServerPrepStmts=true"};
    private static final String[] BATCH_WAYS = {
        "useBatchMultiSend=true", "useBatchMultiSend=false", "rewriteBatchedStatements=true",
        "useServerPrepStmts=true&useBatchMultiSend=true", "useServerPrepStmts=true&useBatchMultiSend=false",
        "useServerPrepStmts=true&useBulkStmts=true",
    };

    private final String url;
    private final String user;
    private final String password;

    private Main(String[] arguments) {
        // The key by which a password is encrypted comes from the server, as there is no TLS.
        url = "jdbc:mariadb://" + arguments[0] + ":" + arguments[1] + "/" + arguments[4] + "?allowPublicKeyRetrieval=true&";
        user = arguments[2];
        password = arguments[3];
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main(arguments);
        Map<String, Tell.Work> sections = new LinkedHashMap<>();
        sections.put("greeting", main::greeting);
        sections.put("types", main::types);
        sections.put("parameters", main::parameters);
        sections.put("prepared", main::prepared);
        sections.put("batches", main::batches);
        sections.put("keys", main::keys);
        sections.put("transactions", main::transactions);
        sections.put("calls", main::calls);
        sections.put("several results", main::severalResults);
        sections.put("cursors", main::cursors);
        sections.put("long values", main::longValues);
        sections.put("schema", main::schema);
        sections.put("errors", main::errors);
        sections.put("pool", main::pool);
        for (Map.Entry<String, Tell.Work> section : sections.entrySet()) {
            System.out.println("== " + section.getKey());
            section.getValue().run();
        }
    }

    private Connection connect(String options) throws SQLException {
        return DriverManager.getConnection(url + options, user, password);
    }

    private void greeting() throws Exception {
        for (String options : new String[] {"", "usePipelineAuth=true", "usePipelineAuth=false",
            "sessionVariables=sql_mode='ANSI_QUOTES',time_zone='-05:30'", "useAffectedRows=true",
            "autocommit=false", "createDatabaseIfNotExist=true"}) {
            try (Connection connection = connect(options)) {
                DatabaseMetaData data = connection.getMetaData();
                Tell.say("server", options, data.getDatabaseProductName(), data.getDatabaseProductVersion());
                Tell.say("session", connection.getAutoCommit(), connection.getTransactionIsolation(), connection.getCatalog(),
                    connection.isReadOnly(), connection.isValid(5));
                Tell.run(connection, "SELECT VERSION(), DATABASE(), CURRENT_USER(), @@sql_mode, @@time_zone, @@autocommit");
                Tell.run(connection, "SELECT @@character_set_client, @@collation_connection, @@character_set_results");
            }
        }
    }

    private static final String COLUMNS = """
        id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, tiny TINYINT, tiny_u TINYINT UNSIGNED, truth BOOLEAN, small SMALLINT,
        medium MEDIUMINT UNSIGNED, normal INT, normal_u INT UNSIGNED, big BIGINT, big_u BIGINT UNSIGNED, price DECIMAL(40,10),
        ratio FLOAT, exact DOUBLE, day DATE, hours TIME, hours_micro TIME(6), moment DATETIME, moment_micro DATETIME(6),
        stamp TIMESTAMP(3) NULL, in_year YEAR, letters CHAR(10), words VARCHAR(200) UNIQUE, latin VARCHAR(20) CHARACTER SET latin1,
        story LONGTEXT, raw_fixed BINARY(4), raw VARBINARY(300), blob_long LONGBLOB, flag BIT(1), bits BIT(20),
        colour ENUM('red', 'blue'), tags SET('a', 'b', 'c'), doc JSON, spot POINT""";
    private static final String[] ROWS = {
        """
        1, -1, 255, TRUE, -300, 70000, -70000, 4000000000, -5000000000, 18446744073709551615, 1234.5678, 0.5, 0.1, '2024-02-29',
        '12:34:56', '01:02:03.000004', '2024-02-29 23:59:58', '2024-02-29 23:59:58.123456', '2024-07-01 12:00:00.123', 2024,
        'Grüße', '👍 日本語', 'ÿ', 'a story', x'00ff275c', x'0001fefbfcfdff', x'fb', b'1', 0x0abcde, 'blue', 'a,c',
        '{"a": [1, null, "ü"]}', ST_GeomFromText('POINT(1.5 -2)')""",
        """
        2, -128, 0, FALSE, -32768, 0, -2147483648, 0, -9223372036854775808, 0, -999999999999999999999999999999.9999999999, -1.5,
        -1.7976931348623157e308, '1000-01-01', '00:00:00', '00:00:00', '1000-01-01', '1000-01-01', '1971-01-01', 1901, '', '', '',
        '', '', '', '', b'0', 0, 'red', '', '[]', NULL""",
        """
        3, 127, 255, 127, 32767, 16777215, 2147483647, 4294967295, 9223372036854775807, 18446744073709551615,
        999999999999999999999999999999.9999999999, 65536, 1.7976931348623157e308, '9999-12-31', '23:59:59', '23:59:58.999999',
        '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999', '2037-12-31 23:59:59.999', 2155, REPEAT('👍', 10), REPEAT('ü', 126),
        REPEAT('ÿ', 20), REPEAT('s', 65536), REPEAT(x'ff', 4), REPEAT(x'fb', 300), REPEAT(x'ff', 70000), b'1', 0x0fffff, 'blue',
        'a,b,c', '{"deep": [[[[1]]]]}', ST_GeomFromText('POINT(0 0)')""",
        """
        4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL""",
    };

    private void types() throws Exception {
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                Tell.run(connection, "CREATE TABLE types (" + COLUMNS + ")");
                for (String row : ROWS) Tell.execute(connection, "INSERT INTO types VALUES (" + row + ")");
                Tell.execute(connection, "SELECT * FROM types ORDER BY id");
                Tell.execute(connection, "SELECT * FROM types WHERE id > ? ORDER BY id", 2);
                Tell.execute(connection, "SELECT 1 WHERE 1 = 0");
                Tell.execute(connection, "SELECT '' AS a, NULL AS b UNION ALL SELECT 'x', ''");
                Tell.run(connection, "SET sql_mode = 'ALLOW_INVALID_DATES'");
                Tell.run(connection, "INSERT INTO types (day, moment, hours) VALUES ('0000-00-00', '0000-00-00', '-838:59:59')");
                Tell.execute(connection, "SELECT day, moment, hours, CAST(day AS CHAR) FROM types WHERE id = ?", 5);
                Tell.run(connection, "DROP TABLE types");
            }
        }
    }

    private void parameters() throws Exception {
        Object[] values = {
            42, "text 👍", null, 1.5, true, -1L, new BigInteger("18446744073709551615"), new BigDecimal("-0.10"),
            new byte[] {0, 1, -2, -1}, Timestamp.valueOf("2024-02-29 12:34:56.789012"), Date.valueOf("2024-02-29"),
            Time.valueOf("12:34:56"), "", (short) 7, (byte) -7, 2.5f, "it's \\ \"quoted\" \0",
        };
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                // One statement, and each time parameters of other types.
                try (PreparedStatement statement = connection.prepareStatement("SELECT ? AS a, ? AS b, ? AS c")) {
                    for (int number = 0; number < values.length; number++) {
                        Tell.bind(statement, number, values[number], values[values.length - 1 - number]);
                        // MySQL does not take every type that this driver sends.
                        Tell.attempt(() -> Tell.results(statement, statement.execute()));
                    }
                }
                Tell.run(connection, "CREATE TABLE streams (id INT PRIMARY KEY, story LONGTEXT, body LONGBLOB)");
                try (PreparedStatement statement = connection.prepareStatement("INSERT INTO streams VALUES (?, ?, ?)")) {
                    statement.setInt(1, 1);
                    // Sent in pieces, ahead of the statement.
                    statement.setCharacterStream(2, new StringReader("ü👍".repeat(50_000)));
                    statement.setBinaryStream(3, new ByteArrayInputStream(bytes(300_000)));
                    Tell.say("changed", statement.executeUpdate());
                    statement.setInt(1, 2);
                    statement.setNull(2, Types.VARCHAR);
                    statement.setBytes(3, new byte[0]);
                    Tell.say("changed", statement.executeUpdate());
                }
                Tell.run(connection, "SELECT id, LENGTH(story), SHA2(story, 256), SHA2(body, 256) FROM streams ORDER BY id");
                Tell.execute(connection, "SELECT story, body FROM streams ORDER BY id");
                Tell.run(connection, "DROP TABLE streams");
            }
        }
    }

    private void prepared() throws Exception {
        for (String options : new String[] {"useServerPrepStmts=true", "useServerPrepStmts=true&cachePrepStmts=false"}) {
            try (Connection connection = connect(options)) {
                MessageDigest seen = Tell.digest();
                for (int round = 0; round < 2; round++) {
                    for (int number = 0; number < MANY_STATEMENTS; number++) {
                        String sql = "SELECT " + number + " + ?";
                        try (PreparedStatement statement = connection.prepareStatement(sql)) {
                            Tell.bind(statement, round);
                            ResultSet result = statement.executeQuery();
                            Tell.expect(result.next() && result.getInt(1) == number + round, sql);
                            seen.update((byte) result.getInt(1));
                        }
                    }
                }
                Tell.say("seen", Tell.hex(seen.digest()));
                Tell.run(connection, "CREATE TABLE altered (a INT)");
                Tell.execute(connection, "INSERT INTO altered VALUES (?)", 1);
                try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM altered WHERE a = ?")) {
                    Tell.bind(statement, 1);
                    Tell.results(statement, statement.execute());
                    Tell.run(connection, "ALTER TABLE altered ADD COLUMN b VARCHAR(10) DEFAULT 'new', MODIFY a BIGINT");
                    Tell.results(statement, statement.execute());
                    Tell.say("parameters", statement.getParameterMetaData().getParameterCount());
                    Tell.run(connection, "DROP TABLE altered");
                    Tell.refused(1146, statement::execute);
                }
            }
        }
    }

    private void batches() throws Exception {
        for (String way : BATCH_WAYS) {
            Tell.say("way", way);
            try (Connection connection = connect(way)) {
                Tell.run(connection, "CREATE TABLE batched (id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE, b VARCHAR(50))");
                String insert = "INSERT INTO batched (a, b) VALUES (?, ?)";
                try (PreparedStatement statement = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
                    for (int number = 0; number < BATCH_ROWS; number++) {
                        Tell.bind(statement, number % 7 == 6 ? null : number, "row " + number);
                        statement.addBatch();
                    }
                    batch(statement);
                    Tell.bind(statement, 1000, "before");
                    statement.addBatch();
                    Tell.bind(statement, 1, "twice");
                    statement.addBatch();
                    Tell.bind(statement, 1001, "after");
                    statement.addBatch();
                    Tell.refused(1062, () -> batch(statement));
                }
                try (Statement statement = connection.createStatement()) {
                    for (int number = 0; number < 20; number++) {
                        statement.addBatch("UPDATE batched SET b = 'changed' WHERE id = " + number * 5);
                    }
                    statement.addBatch("DELETE FROM batched WHERE id > 490");
                    batch(statement);
                }
                Tell.run(connection, "SELECT COUNT(*), SUM(a), COUNT(a), MAX(id), SUM(b = 'changed') FROM batched");
                Tell.run(connection, "DROP TABLE batched");
            }
        }
    }

    private static void batch(Statement statement) throws SQLException {
        Tell.say("batch", Arrays.toString(statement.executeBatch()));
        List<Object> keys = new ArrayList<>();
        try (ResultSet result = statement.getGeneratedKeys()) {
            while (result.next()) keys.add(result.getLong(1));
        }
        Tell.say("keys", keys);
    }

    private void keys() throws Exception {
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                Tell.run(connection, "CREATE TABLE ids (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10) UNIQUE, a INT DEFAULT 0)");
                Tell.execute(connection, "INSERT INTO ids (name) VALUES (?), (?), (?)", "one", "two", "three");
                Tell.execute(connection, "INSERT INTO ids (name) VALUES (?) ON DUPLICATE KEY UPDATE a = a + 1", "two");
                Tell.execute(connection, "INSERT INTO ids (name) VALUES (?) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)", "one");
                Tell.execute(connection, "REPLACE INTO ids (name) VALUES (?)", "three");
                Tell.execute(connection, "SELECT LAST_INSERT_ID()");
                Tell.execute(connection, "UPDATE ids SET a = a WHERE id < ?", 100);
                Tell.run(connection, "DROP TABLE ids");
            }
        }
    }

    private void transactions() throws Exception {
        try (Connection writer = connect("useServerPrepStmts=true"); Connection reader = connect("")) {
            Tell.run(writer, "CREATE TABLE accounts (id INT PRIMARY KEY, money INT)");
            writer.setAutoCommit(false);
            Tell.execute(writer, "INSERT INTO accounts VALUES (?, ?), (?, ?)", 1, 100, 2, 50);
            Tell.expect(money(reader) == 0, "nobody sees what is not committed");
            writer.commit();
            Tell.expect(money(reader) == 150, "everybody sees what is committed");
            Savepoint half = writer.setSavepoint("half");
            Tell.execute(writer, "UPDATE accounts SET money = ? WHERE id = ?", 0, 1);
            Tell.expect(money(writer) == 50 && money(reader) == 150, "only the writer sees it");
            writer.rollback(half);
            Tell.expect(money(writer) == 150, "back to the savepoint");
            writer.releaseSavepoint(writer.setSavepoint());
            writer.rollback();
            for (int level : new int[] {Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_READ_COMMITTED,
                Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE}) {
                reader.setTransactionIsolation(level);
                Tell.say("isolation", reader.getTransactionIsolation());
                if (level == Connection.TRANSACTION_SERIALIZABLE) continue;
                reader.setAutoCommit(false);
                int before = money(reader);
                Tell.execute(writer, "UPDATE accounts SET money = money + 1 WHERE id = ?", 1);
                int during = money(reader);
                writer.commit();
                int after = money(reader);
                reader.rollback();
                Tell.say("seen", level, before, during, after, money(reader));
                reader.setAutoCommit(true);
            }
            writer.setAutoCommit(true);
            Tell.run(reader, "SET SESSION TRANSACTION READ ONLY");
            Tell.refused(1792, () -> Tell.run(reader, "DELETE FROM accounts"));
            Tell.run(writer, "DROP TABLE accounts");
        }
    }

    private static int money(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            ResultSet result = statement.executeQuery("SELECT SUM(money) FROM accounts");
            result.next();
            return result.getInt(1);
        }
    }

    private void calls() throws Exception {
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                Tell.run(connection, """
                    CREATE PROCEDURE both_ways(IN a INT, OUT doubled INT, INOUT sum BIGINT, OUT words VARCHAR(50))
                    BEGIN SET doubled = a * 2, sum = sum + a, words = CONCAT('got ', a, ' 👍'); SELECT a, 'first' AS name; SELECT sum; END""");
                Tell.run(connection, "CREATE FUNCTION half(a INT) RETURNS DECIMAL(10,2) DETERMINISTIC RETURN a / 2");
                try (CallableStatement call = connection.prepareCall("{call both_ways(?, ?, ?, ?)}")) {
                    for (int number : new int[] {21, -3}) {
                        call.setInt(1, number);
                        call.registerOutParameter(2, Types.INTEGER);
                        call.setLong(3, 100);
                        call.registerOutParameter(3, Types.BIGINT);
                        call.registerOutParameter(4, Types.VARCHAR);
                        Tell.results(call, call.execute());
                        Tell.say("out", call.getInt(2), call.getLong(3), call.getString(4));
                    }
                }
                try (CallableStatement call = connection.prepareCall("{? = call half(?)}")) {
                    call.registerOutParameter(1, Types.DECIMAL);
                    call.setInt(2, 7);
                    call.execute();
                    Tell.say("out", call.getBigDecimal(1));
                }
                Tell.refused(1305, () -> Tell.run(connection, "CALL no_such_procedure()"));
                Tell.run(connection, "DROP PROCEDURE both_ways");
                Tell.run(connection, "DROP FUNCTION half");
            }
        }
    }

    private void severalResults() throws Exception {
        try (Connection connection = connect("allowMultiQueries=true")) {
            Tell.run(connection, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c UNION ALL SELECT 3, 'y'; SELECT 4 WHERE 1 = 0");
            Tell.run(connection, "CREATE TABLE multi (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO multi VALUES (), (); SELECT * FROM multi");
            Tell.refused(1146, () -> Tell.run(connection, "SELECT 1; SELECT * FROM no_such_table; SELECT 2"));
            Tell.execute(connection, "SELECT ? AS a; SELECT ? AS b", 1, "two");
            Tell.run(connection, "DROP TABLE multi; SELECT 'still in step'");
        }
        try (Connection connection = connect("")) {
            Tell.refused(1064, () -> Tell.run(connection, "SELECT 1; SELECT 2"));
        }
    }

    private void cursors() throws Exception {
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                Tell.run(connection, "CREATE TABLE streamed (id INT PRIMARY KEY, body VARCHAR(200))");
                try (PreparedStatement insert = connection.prepareStatement("INSERT INTO streamed VALUES (?, ?)")) {
                    for (int number = 0; number < STREAMED_ROWS; number++) {
                        Tell.bind(insert, number, ("" + number).repeat(number % 40));
                        insert.addBatch();
                    }
                    insert.executeBatch();
                }
                String sql = "SELECT * FROM streamed WHERE id >= ? ORDER BY id";
                for (int fetch : new int[] {0, 1, 7, 1000}) {
                    try (PreparedStatement statement = connection.prepareStatement(sql)) {
                        statement.setFetchSize(fetch);
                        Tell.bind(statement, 1);
                        ResultSet result = statement.executeQuery();
                        MessageDigest seen = Tell.digest();
                        int count = 0;
                        for (; result.next(); count++) seen.update((result.getInt(1) + result.getString(2)).getBytes());
                        Tell.say("streamed", fetch, count, Tell.hex(seen.digest()));
                        Tell.expect(count == STREAMED_ROWS - 1, "all rows come");
                        // Left early; another statement has to wait for its rest.
                        result = statement.executeQuery();
                        Tell.expect(result.next(), "there is a row");
                        Tell.run(connection, "SELECT COUNT(*) FROM streamed");
                    }
                }
                try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                    ResultSet result = statement.executeQuery("SELECT id, body FROM streamed WHERE id < 5 ORDER BY id");
                    result.last();
                    Tell.say("last", result.getRow(), result.getInt(1));
                    result.updateString(2, "updated in place");
                    result.updateRow();
                    result.absolute(2);
                    result.deleteRow();
                    result.moveToInsertRow();
                    result.updateInt(1, -1);
                    result.updateString(2, "inserted");
                    result.insertRow();
                }
                Tell.run(connection, "SELECT * FROM streamed WHERE id < 5 ORDER BY id");
                Tell.run(connection, "DROP TABLE streamed");
            }
        }
    }

    private void longValues() throws Exception {
        byte[] body = bytes(LONG_BLOB);
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                Tell.run(connection, "CREATE TABLE blobs (id INT PRIMARY KEY, body LONGBLOB)");
                Tell.execute(connection, "INSERT INTO blobs VALUES (?, ?)", 1, body);
                Tell.run(connection, "SELECT id, LENGTH(body), SHA2(body, 256) FROM blobs");
                try (PreparedStatement statement = connection.prepareStatement("SELECT body, id, body FROM blobs")) {
                    ResultSet result = statement.executeQuery();
                    Tell.expect(result.next() && Arrays.equals(result.getBytes(1), body), "the blob comes back");
                    Tell.expect(Arrays.equals(result.getBytes(3), body), "and once more");
                }
                Tell.run(connection, "DROP TABLE blobs");
            }
        }
    }

    private void schema() throws Exception {
        try (Connection connection = connect("")) {
            Tell.run(connection, "CREATE TABLE parents (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL COMMENT 'its name')");
            Tell.run(connection, "CREATE TABLE children (id INT AUTO_INCREMENT PRIMARY KEY, parent INT, KEY by_parent (parent),"
                + " CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE)");
            Tell.run(connection, "CREATE VIEW families AS SELECT p.name, c.id FROM parents p JOIN children c ON c.parent = p.id");
            DatabaseMetaData data = connection.getMetaData();
            String database = connection.getCatalog();
            Tell.rows(data.getTables(database, null, "%", null));
            Tell.rows(data.getColumns(database, null, "%", "%"));
            Tell.rows(data.getPrimaryKeys(database, null, "children"));
            Tell.rows(data.getImportedKeys(database, null, "children"));
            Tell.rows(data.getExportedKeys(database, null, "parents"));
            Tell.rows(data.getTypeInfo());
            connection.setCatalog("test");
            Tell.run(connection, "SELECT DATABASE()");
            connection.setCatalog(database);
            for (String name : new String[] {"VIEW families", "TABLE children", "TABLE parents"}) Tell.run(connection, "DROP " + name);
        }
    }

    private void errors() throws Exception {
        for (String way : WAYS) {
            try (Connection connection = connect(way)) {
                Tell.run(connection, "CREATE TABLE errors (id INT PRIMARY KEY, name VARCHAR(5) NOT NULL)");
                Tell.execute(connection, "INSERT INTO errors VALUES (?, ?)", 1, "one");
                Tell.refused(1062, () -> Tell.execute(connection, "INSERT INTO errors VALUES (?, ?)", 1, "eins"));
                Tell.refused(1064, () -> Tell.execute(connection, "SELEKT ?", 1));
                Tell.refused(1146, () -> Tell.execute(connection, "SELECT * FROM no_such_table WHERE a = ?", 1));
                Tell.refused(1054, () -> Tell.execute(connection, "SELECT nothing FROM errors"));
                Tell.refused(1048, () -> Tell.execute(connection, "INSERT INTO errors VALUES (?, ?)", 2, null));
                Tell.refused(1406, () -> Tell.execute(connection, "INSERT INTO errors VALUES (?, ?)", 2, "too long"));
                Tell.execute(connection, "SELECT 1 / 0, CAST(? AS SIGNED)", "12 apples");
                Tell.execute(connection, "INSERT IGNORE INTO errors VALUES (?, ?), (3, 'cut off here')", 1, "uno");
                Tell.run(connection, "DROP TABLE errors");
            }
        }
        for (String[] wrong : new String[][] {{user, "wrong", ""}, {"nobody", password, ""}}) {
            try (Connection connection = DriverManager.getConnection(url, wrong[0], wrong[1])) {
                Tell.expect(false, "logged in");
            } catch (SQLException error) {
                Tell.error(error);
            }
        }
    }

    private void pool() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(POOL_CONNECTIONS * 2);
        String options = "maxPoolSize=" + POOL_CONNECTIONS + "&useResetConnection=true&user=" + user + "&password=" + password;
        try (MariaDbPoolDataSource pool = new MariaDbPoolDataSource(url + options)) {
            try (Connection connection = pool.getConnection()) {
                Tell.run(connection, "CREATE TABLE pooled (id INT PRIMARY KEY, body VARCHAR(50))");
            }
            List<Future<String>> tasks = new ArrayList<>();
            for (int id = 0; id < POOL_TASKS; id++) tasks.add(threads.submit(pooled(pool, id)));
            MessageDigest seen = Tell.digest();
            for (Future<String> task : tasks) seen.update(task.get().getBytes());
            Tell.say("seen", Tell.hex(seen.digest()));
            try (Connection connection = pool.getConnection()) {
                Tell.run(connection, "SELECT COUNT(*), SUM(id), MIN(body), MAX(body) FROM pooled");
                Tell.run(connection, "DROP TABLE pooled");
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private static Callable<String> pooled(MariaDbPoolDataSource pool, int id) {
        return () -> {
            try (Connection connection = pool.getConnection(); Statement statement = connection.createStatement()) {
                ResultSet before = statement.executeQuery("SELECT @id");
                // The driver resets the session on a MariaDB only.
                boolean reset = connection.getMetaData().getDatabaseProductName().equals("MariaDB");
                Tell.expect(before.next() && (!reset || before.getObject(1) == null), "the session of another");
                statement.execute("SET @id = " + id);
                try (PreparedStatement insert = connection.prepareStatement("INSERT INTO pooled VALUES (?, ?)")) {
                    Tell.bind(insert, id, "row " + id);
                    insert.executeUpdate();
                }
                ResultSet after = statement.executeQuery("SELECT body, @id FROM pooled WHERE id = @id");
                Tell.expect(after.next() && after.getInt(2) == id, "the answer of another");
                return after.getString(1);
            }
        };
    }

    private static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        for (int index = 0; index < length; index++) bytes[index] = (byte) (index * 31 + (index >> 8));
        return bytes;
    }
}
