/*
 * The JDBC driver of PostgreSQL: statements that it prepares on the server at their fifth use,
 * portions of rows, batches, COPY, large objects.
 */

import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PSQLException;

public final class JdbcSuite {
    private interface Refused {
        void run() throws Exception;
    }

    private interface Work {
        void with(Connection conn) throws Exception;
    }

    public static void main(String[] arguments) throws IOException {
        Conversation.about(JdbcSuite.class);
    }

    private static void equal(Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            throw new AssertionError(actual + " is not " + expected);
        }
    }

    // Each option is "name=value".
    private static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", Conversation.USER);
        properties.setProperty("password", Conversation.PASSWORD);
        for (String option : options) {
            String[] parts = option.split("=", 2);
            properties.setProperty(parts[0], parts[1]);
        }
        String where = Conversation.HOST + ":" + Conversation.PORT;
        return DriverManager.getConnection(
                "jdbc:postgresql://" + where + "/" + Conversation.DATABASE, properties);
    }

    private static void withConnection(Work work, String... options) throws Exception {
        try (Connection conn = connect(options)) {
            work.with(conn);
        }
    }

    private static void execute(Connection conn, String... texts) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            for (String text : texts) statement.execute(text);
        }
    }

    // The first column of the first row.
    private static Object ask(Connection conn, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement(text)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            try (ResultSet rows = statement.executeQuery()) {
                return rows.next() ? rows.getObject(1) : null;
            }
        }
    }

    private static PSQLException refused(Refused work, String code) throws Exception {
        try {
            work.run();
        } catch (PSQLException error) {
            equal(error.getSQLState(), code);
            return error;
        }
        throw new AssertionError("not refused with " + code);
    }

    @Case("creates a schema with its tables, types, indexes, views and functions")
    static void schema() throws Exception {
        withConnection(conn -> {
            conn.setAutoCommit(false);
            execute(conn,
                    "CREATE SCHEMA shop",
                    "CREATE TYPE shop.state AS ENUM ('open', 'done')",
                    "CREATE TABLE shop.orders (id int PRIMARY KEY, state shop.state NOT NULL)",
                    "CREATE INDEX orders_state ON shop.orders (state)",
                    "CREATE VIEW shop.done AS SELECT id FROM shop.orders WHERE state = 'done'",
                    "CREATE FUNCTION shop.finish(int) RETURNS void LANGUAGE sql"
                            + " AS $$ UPDATE shop.orders SET state = 'done' WHERE id = $1 $$");
            conn.commit();
        });
        withConnection(conn -> {
            execute(conn, "INSERT INTO orders VALUES (1, 'open'), (2, 'open')");
            execute(conn, "SELECT finish(2)");
            equal(ask(conn, "SELECT id FROM done"), 2);
        }, "currentSchema=shop");
    }

    @Case("reads the schema by its metadata")
    static void metadata() throws Exception {
        withConnection(conn -> {
            execute(conn,
                    "CREATE TABLE jd_meta (id serial PRIMARY KEY, name varchar(20) NOT NULL)");
            List<String> found = new ArrayList<>();
            try (ResultSet rows = conn.getMetaData().getColumns(null, "public", "jd_meta", null)) {
                while (rows.next()) {
                    found.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
                }
            }
            equal(found, List.of("id serial", "name varchar"));
            try (ResultSet rows = conn.getMetaData().getPrimaryKeys(null, "public", "jd_meta")) {
                equal(rows.next() ? rows.getString("COLUMN_NAME") : null, "id");
            }
        });
    }

    @Case("gives and takes values of every common type, as text and as binary")
    static void values() throws Exception {
        // Below 0 the driver asks for binary values from the first use on.
        for (String threshold : new String[] {"prepareThreshold=0", "prepareThreshold=-1"}) {
            withConnection(conn -> {
                OffsetDateTime at = OffsetDateTime.parse("2024-02-29T12:34:56.789Z");
                UUID id = UUID.fromString("0193b2a4-6a2e-7cc1-9c3f-5f1d2a3b4c5d");
                byte[] bytes = {0, 1, -2, -1};
                try (PreparedStatement statement = conn.prepareStatement(
                        "SELECT ?::int4, ?::int8, ?::float8, ?::numeric, ?::bool, ?::text,"
                                + " ?::bytea, ?::timestamptz, ?::uuid, ?::int4[], ?::text")) {
                    statement.setInt(1, 7);
                    statement.setLong(2, 9007199254740993L);
                    statement.setDouble(3, 0.1);
                    statement.setBigDecimal(4, new BigDecimal("1.10"));
                    statement.setBoolean(5, true);
                    statement.setString(6, "naïve 🐘");
                    statement.setBytes(7, bytes);
                    statement.setObject(8, at);
                    statement.setObject(9, id);
                    statement.setArray(10, conn.createArrayOf("int4", new Object[] {1, 2}));
                    statement.setNull(11, Types.VARCHAR);
                    try (ResultSet row = statement.executeQuery()) {
                        row.next();
                        equal(row.getInt(1), 7);
                        equal(row.getLong(2), 9007199254740993L);
                        equal(row.getDouble(3), 0.1);
                        equal(row.getBigDecimal(4), new BigDecimal("1.10"));
                        equal(row.getBoolean(5), true);
                        equal(row.getString(6), "naïve 🐘");
                        equal(Arrays.equals(row.getBytes(7), bytes), true);
                        equal(row.getObject(8, OffsetDateTime.class).toInstant(), at.toInstant());
                        equal(row.getObject(9), id);
                        equal(Arrays.asList((Object[]) row.getArray(10).getArray()), List.of(1, 2));
                        equal(row.getString(11), null);
                    }
                }
            }, threshold);
        }
    }

    @Case("prepares a statement at its fifth use, over as many connections as it may open")
    static void prepared() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(Conversation.CLIENTS_MAX);
        Callable<Void> work = () -> {
            withConnection(JdbcSuite::doubles);
            return null;
        };
        try {
            List<Callable<Void>> all = Collections.nCopies(Conversation.CLIENTS_MAX, work);
            for (Future<Void> done : threads.invokeAll(all)) done.get();
        } finally {
            threads.shutdown();
        }
    }

    private static void doubles(Connection conn) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement("SELECT ?::int4 * 2")) {
            for (int n = 0; n < 20; n++) {
                statement.setInt(1, n);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    equal(rows.getInt(1), n * 2);
                }
            }
            equal(statement.unwrap(PGStatement.class).isUseServerPrepare(), true);
        }
    }

    @Case("keeps 256 prepared statements and gives up the eldest of 300")
    static void preparedAndGivenUp() throws Exception {
        withConnection(conn -> {
            for (int round = 0; round < 2; round++) {
                for (int n = 0; n < 300; n++) equal(ask(conn, "SELECT ?::int4 + " + n, 1), n + 1);
            }
        }, "prepareThreshold=1");
    }

    @Case("heals a prepared statement whose table has changed, in its transaction, by autosave")
    static void healed() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE TABLE jd_heal (a int)", "INSERT INTO jd_heal VALUES (1)");
            conn.setAutoCommit(false);
            for (int n = 0; n < 3; n++) equal(ask(conn, "SELECT * FROM jd_heal"), 1);
            conn.commit();
            withConnection(other ->
                    execute(other, "ALTER TABLE jd_heal ALTER a TYPE text, ADD b int"));
            equal(ask(conn, "SELECT * FROM jd_heal"), "1");
            conn.commit();
        }, "prepareThreshold=1", "autosave=conservative");
    }

    @Case("commits, rolls back, and goes back to a savepoint")
    static void transactions() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE TABLE jd_tx (a int)");
            conn.setAutoCommit(false);
            execute(conn, "INSERT INTO jd_tx VALUES (1)");
            Savepoint here = conn.setSavepoint("here");
            refused(() -> execute(conn, "INSERT INTO jd_tx VALUES (1/0)"), "22012");
            refused(() -> execute(conn, "SELECT 1"), "25P02");
            conn.rollback(here);
            conn.commit();
            execute(conn, "INSERT INTO jd_tx VALUES (2)");
            conn.rollback();
            equal(ask(conn, "SELECT sum(a) FROM jd_tx"), 1L);
            conn.commit();
        });
    }

    @Case("runs a transaction that is serializable and read only")
    static void transactionModes() throws Exception {
        withConnection(conn -> {
            conn.setAutoCommit(false);
            conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            conn.setReadOnly(true);
            equal(ask(conn, "SELECT current_setting('transaction_isolation')"), "serializable");
            refused(() -> execute(conn, "CREATE TABLE jd_never ()"), "25006");
            conn.rollback();
            conn.setReadOnly(false);
            execute(conn, "CREATE TABLE jd_after ()");
            equal(ask(conn, "SELECT current_setting('transaction_isolation')"), "serializable");
            conn.commit();
        });
    }

    @Case("reads errors with code, table and constraint, and goes on")
    static void failures() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE TABLE jd_unique (a int PRIMARY KEY)");
            execute(conn, "INSERT INTO jd_unique VALUES (1)");
            var twice = refused(() -> execute(conn, "INSERT INTO jd_unique VALUES (1)"), "23505");
            equal(twice.getServerErrorMessage().getTable(), "jd_unique");
            equal(twice.getServerErrorMessage().getConstraint(), "jd_unique_pkey");
            var nowhere = refused(() -> ask(conn, "SELECT 1 FROM nowhere"), "42P01");
            equal(nowhere.getServerErrorMessage().getPosition(), 15);
            equal(ask(conn, "SELECT 2"), 2);
        });
    }

    @Case("inserts 1,000 rows in batches, plain and rewritten, and reads the keys they got")
    static void batches() throws Exception {
        for (String rewritten : new String[] {"false", "true"}) {
            withConnection(conn -> {
                String table = "jd_batch_" + rewritten;
                execute(conn, "CREATE TABLE " + table + " (id serial, name text)");
                conn.setAutoCommit(false);
                String text = "INSERT INTO " + table + " (name) VALUES (?)";
                try (PreparedStatement insert =
                        conn.prepareStatement(text, Statement.RETURN_GENERATED_KEYS)) {
                    for (int n = 0; n < 1000; n++) {
                        insert.setString(1, "it's " + n);
                        insert.addBatch();
                    }
                    equal(insert.executeBatch().length, 1000);
                    int last = 0;
                    try (ResultSet keys = insert.getGeneratedKeys()) {
                        while (keys.next()) last = keys.getInt(1);
                    }
                    equal(last, 1000);
                }
                conn.commit();
                equal(ask(conn, "SELECT count(*) FROM " + table), 1000L);
            }, "reWriteBatchedInserts=" + rewritten);
        }
    }

    @Case("reports the rows of a batch before its error")
    static void failingBatch() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE TABLE jd_fail (a int PRIMARY KEY)");
            String text = "INSERT INTO jd_fail VALUES (?)";
            try (PreparedStatement insert = conn.prepareStatement(text)) {
                for (int n : new int[] {1, 2, 1, 3}) {
                    insert.setInt(1, n);
                    insert.addBatch();
                }
                insert.executeBatch();
                throw new AssertionError("twice");
            } catch (BatchUpdateException error) {
                equal(error.getSQLState(), "23505");
            }
            equal(ask(conn, "SELECT count(*) FROM jd_fail"), 0L);
        });
    }

    @Case("reads rows in portions of 100, and leaves a result early")
    static void portions() throws Exception {
        withConnection(conn -> {
            conn.setAutoCommit(false);
            try (Statement statement = conn.createStatement()) {
                statement.setFetchSize(100);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT generate_series(1, 1000)")) {
                    while (rows.next()) sum += rows.getInt(1);
                }
                equal(sum, 500_500L);
                try (ResultSet rows = statement.executeQuery("SELECT generate_series(1, 1000)")) {
                    rows.next();
                }
                equal(ask(conn, "SELECT 3"), 3);
            }
            conn.commit();
        });
    }

    @Case("copies 20,000 rows in and out, and goes on after a COPY that fails")
    static void copies() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE TABLE jd_copy (a int, b text)");
            StringBuilder text = new StringBuilder();
            for (int n = 0; n < 20_000; n++) text.append(n + "\trow " + n + "\n");
            CopyManager copies = conn.unwrap(PGConnection.class).getCopyAPI();
            StringReader rows = new StringReader(text.toString());
            equal(copies.copyIn("COPY jd_copy FROM STDIN", rows), 20_000L);
            StringWriter out = new StringWriter();
            copies.copyOut("COPY jd_copy TO STDOUT", out);
            equal(out.toString().equals(text.toString()), true);
            String bad = "not a number\tx\n".repeat(20_000);
            refused(() -> copies.copyIn("COPY jd_copy FROM STDIN", new StringReader(bad)), "22P02");
            equal(ask(conn, "SELECT count(*) FROM jd_copy"), 20_000L);
        });
    }

    @Case("writes a large object of 3 MB and reads it on another connection")
    static void largeObjects() throws Exception {
        byte[] content = new byte[3 << 20];
        for (int i = 0; i < content.length; i++) content[i] = (byte) (i * 31);
        long[] made = new long[1];
        withConnection(conn -> {
            conn.setAutoCommit(false);
            LargeObjectManager objects = conn.unwrap(PGConnection.class).getLargeObjectAPI();
            made[0] = objects.createLO(LargeObjectManager.READWRITE);
            try (LargeObject object = objects.open(made[0], LargeObjectManager.WRITE)) {
                object.write(content);
            }
            conn.commit();
        });
        withConnection(conn -> {
            conn.setAutoCommit(false);
            LargeObjectManager objects = conn.unwrap(PGConnection.class).getLargeObjectAPI();
            try (LargeObject object = objects.open(made[0], LargeObjectManager.READ)) {
                equal(Arrays.equals(object.read(content.length + 1), content), true);
            }
            objects.unlink(made[0]);
            conn.commit();
        });
    }

    @Case("calls a function with parameters that come back")
    static void calls() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE FUNCTION jd_twice(a int, OUT b int) LANGUAGE sql"
                    + " AS $$ SELECT a * 2 $$");
            try (var call = conn.prepareCall("{call jd_twice(?, ?)}")) {
                call.setInt(1, 21);
                call.registerOutParameter(2, Types.INTEGER);
                call.execute();
                equal(call.getInt(2), 42);
            }
        });
    }

    @Case("hears what another client notifies, and warnings")
    static void notifications() throws Exception {
        withConnection(listener -> withConnection(other -> {
            execute(listener, "LISTEN news");
            try (Statement statement = listener.createStatement()) {
                statement.execute("DO $$ BEGIN RAISE WARNING 'hello'; END $$");
                equal(statement.getWarnings().getMessage(), "hello");
            }
            execute(other, "SELECT pg_notify('news', 'it rains')");
            PGNotification[] heard = listener.unwrap(PGConnection.class).getNotifications(10_000);
            equal(heard.length, 1);
            equal(heard[0].getName() + " " + heard[0].getParameter(), "news it rains");
        }));
    }

    @Case("keeps schema, application name and parameters between transactions")
    static void parameters() throws Exception {
        withConnection(conn -> {
            execute(conn, "CREATE SCHEMA own");
            conn.setSchema("own");
            conn.setClientInfo("ApplicationName", "billing");
            for (int n = 0; n < 5; n++) {
                equal(conn.getSchema(), "own");
                equal(ask(conn, "SHOW IntervalStyle"), "iso_8601");
                equal(conn.getClientInfo("ApplicationName"), "billing");
            }
        }, "options=-c IntervalStyle=iso_8601");
    }

    @Case("cancels a statement that sleeps for 30 s")
    static void cancels() throws Exception {
        withConnection(conn -> {
            Statement sleeping = conn.createStatement();
            Thread canceller = new Thread(() -> {
                try {
                    Conversation.ask("running jdbc to be cancelled");
                    sleeping.cancel();
                } catch (Exception error) {
                    throw new IllegalStateException(error);
                }
            });
            canceller.start();
            refused(() -> sleeping.execute("SELECT pg_sleep(30), 'jdbc to be cancelled'"), "57014");
            canceller.join();
            equal(ask(conn, "SELECT 3"), 3);
        });
    }

    @Case("times a statement out after 1 s")
    static void timesOut() throws Exception {
        withConnection(conn -> {
            try (Statement sleeping = conn.createStatement()) {
                sleeping.setQueryTimeout(1);
                refused(() -> sleeping.execute("SELECT pg_sleep(30)"), "57014");
            }
            equal(ask(conn, "SELECT 3"), 3);
        });
    }

    @Case("connects again after the database restarted")
    static void restart() throws Exception {
        Connection conn = connect();
        equal(ask(conn, "SELECT 1"), 1);
        Conversation.ask("restart");
        try {
            ask(conn, "SELECT 1");
        } catch (PSQLException error) {
            conn.close();
            conn = connect();
        }
        equal(ask(conn, "SELECT 2"), 2);
        conn.close();
    }
}
