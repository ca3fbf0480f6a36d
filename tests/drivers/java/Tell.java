import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/** Prints what the driver tells. */
final class Tell {
    /** Longer values are printed as a digest. */
    private static final int LONGEST_SHOWN = 300;

    private Tell() {}

    /** Something that may fail as SQL does. */
    interface Work {
        void run() throws Exception;
    }

    static void say(String what, Object... values) {
        List<String> texts = new ArrayList<>();
        for (Object value : values) texts.add(shown(value));
        System.out.println("   " + what + ": " + String.join(", ", texts));
    }

    /** Runs a statement and tells all of its results. */
    static void run(Connection connection, String sql) throws SQLException {
        System.out.println("-- " + shown(sql));
        try (Statement statement = connection.createStatement()) {
            results(statement, statement.execute(sql, Statement.RETURN_GENERATED_KEYS));
        }
    }

    /** Prepares a statement, runs it with the parameters, tells all of its results. */
    static void execute(Connection connection, String sql, Object... parameters) throws SQLException {
        System.out.println("-- " + shown(sql));
        try (PreparedStatement statement = connection.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
            bind(statement, parameters);
            results(statement, statement.execute());
        }
    }

    static void bind(PreparedStatement statement, Object... parameters) throws SQLException {
        for (int number = 0; number < parameters.length; number++) {
            statement.setObject(number + 1, parameters[number]);
        }
    }

    static void results(Statement statement, boolean rows) throws SQLException {
        while (true) {
            if (rows) {
                try (ResultSet result = statement.getResultSet()) {
                    rows(result);
                }
            } else if (statement.getUpdateCount() == -1) {
                break;
            } else {
                say("changed", statement.getUpdateCount());
                keys(statement);
            }
            for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
                say("warning", warning.getErrorCode(), warning.getSQLState(), warning.getMessage());
            }
            rows = statement.getMoreResults();
        }
    }

    private static void keys(Statement statement) throws SQLException {
        List<Object> keys = new ArrayList<>();
        try (ResultSet result = statement.getGeneratedKeys()) {
            while (result.next()) keys.add(result.getLong(1));
        } catch (SQLException error) {
            // The driver keeps them only for who asked, and calls do not ask.
            return;
        }
        if (!keys.isEmpty()) say("keys", keys.toArray());
    }

    static int rows(ResultSet result) throws SQLException {
        ResultSetMetaData columns = result.getMetaData();
        for (int number = 1; number <= columns.getColumnCount(); number++) {
            say("column", columns.getColumnLabel(number), columns.getColumnName(number), columns.getTableName(number),
                columns.getCatalogName(number), columns.getColumnType(number), columns.getColumnTypeName(number),
                columns.getColumnClassName(number), columns.getPrecision(number), columns.getScale(number),
                columns.getColumnDisplaySize(number), columns.isNullable(number), columns.isSigned(number),
                columns.isAutoIncrement(number));
        }
        int count = 0;
        for (; result.next(); count++) {
            List<Object> values = new ArrayList<>();
            for (int number = 1; number <= columns.getColumnCount(); number++) values.add(value(result, number));
            say("row", values.toArray());
        }
        return count;
    }

    /** A value as the driver's own object, or what it says to that. */
    private static Object value(ResultSet result, int number) {
        try {
            Object value = result.getObject(number);
            if (value instanceof java.sql.Blob blob) return blob.getBytes(1, (int) blob.length());
            if (value instanceof java.sql.Clob clob) return clob.getSubString(1, (int) clob.length());
            return result.wasNull() ? null : value;
        } catch (Exception error) {
            return error.getClass().getSimpleName() + ": " + error.getMessage();
        }
    }

    static void refused(int code, Work work) throws Exception {
        try {
            work.run();
        } catch (SQLException error) {
            error(error);
            expect(error.getErrorCode() == code, "wanted error " + code + ", got " + error.getErrorCode());
            return;
        }
        expect(false, "wanted error " + code);
    }

    /** Something that some servers refuse. */
    static void attempt(Work work) throws Exception {
        try {
            work.run();
        } catch (SQLException error) {
            error(error);
        }
    }

    static void error(SQLException error) {
        // The driver names the connection and its port.
        String message = error.getMessage().replaceAll("\\(conn=\\d+\\) |\\(port=\\d+\\)", "");
        say("error", error.getClass().getSimpleName(), error.getErrorCode(), error.getSQLState(), message);
        if (error instanceof BatchUpdateException batch) say("counts", Arrays.toString(batch.getUpdateCounts()));
    }

    static String shown(Object value) {
        String text = value instanceof byte[] bytes ? "<" + hex(bytes) + ">" : String.valueOf(value);
        // Only ASCII is printed, whatever the locale.
        StringBuilder ascii = new StringBuilder();
        text.chars().forEach(letter -> {
            if (letter >= ' ' && letter <= '~') ascii.append((char) letter);
            else ascii.append(String.format("\\u%04x", letter));
        });
        if (ascii.length() <= LONGEST_SHOWN) return ascii.toString();
        byte[] digest = digest().digest(text.getBytes(StandardCharsets.UTF_8));
        return "<" + text.length() + ", " + hex(digest) + ">";
    }

    static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static void expect(boolean condition, String what) {
        if (condition) return;
        System.out.flush();
        throw new AssertionError(what);
    }
}
