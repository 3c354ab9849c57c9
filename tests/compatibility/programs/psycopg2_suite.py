"""
psycopg2: values formatted into the text, SQL PREPARE, cursors of the server, large objects, its
own pool.
"""

import datetime
import decimal
import io
import select
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2
from psycopg2 import errors, extensions, extras
from psycopg2.pool import ThreadedConnectionPool

from conversation import CLIENTS_MAX, LOGIN, case, converse, equal, restart_server, until_running


class Connection:
    """A connection that ends with its block; psycopg2's own block ends a transaction only."""

    def __init__(self, autocommit: bool = False, **options) -> None:
        self.conn = psycopg2.connect(**LOGIN, **options)
        self.conn.autocommit = autocommit

    def __enter__(self) -> extensions.connection:
        return self.conn

    def __exit__(self, *_) -> None:
        self.conn.close()


def ask(conn: extensions.connection, query: str, values=None) -> list[tuple]:
    with conn.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


@case("creates a schema with its tables, types, indexes, views and functions")
def schema() -> None:
    with Connection() as conn:
        ask(conn, "CREATE SCHEMA shop")
        ask(conn, "CREATE TYPE shop.state AS ENUM ('open', 'done')")
        ask(conn, "CREATE TABLE shop.orders (id int PRIMARY KEY, state shop.state NOT NULL)")
        ask(conn, "CREATE INDEX orders_state ON shop.orders (state)")
        ask(conn, "CREATE VIEW shop.done AS SELECT id FROM shop.orders WHERE state = 'done'")
        ask(
            conn,
            "CREATE FUNCTION shop.finish(int) RETURNS void LANGUAGE sql "
            "AS $$ UPDATE shop.orders SET state = 'done' WHERE id = $1 $$",
        )
        conn.commit()
    with Connection() as conn:
        ask(conn, "SET search_path = shop")
        ask(conn, "INSERT INTO orders VALUES (%s, 'open'), (2, 'open')", [1])
        ask(conn, "SELECT finish(2)")
        equal(ask(conn, "SELECT id FROM done"), [(2,)])


@case("gives and takes values of every common type")
def values() -> None:
    at = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=datetime.timezone.utc)
    text = "naïve 🐘 it's \\"
    given = [7, 2**53 + 1, 0.1, decimal.Decimal("1.10"), True, text, at, [1, 2], None]
    with Connection() as conn:
        (row,) = ask(conn, "SELECT %s, %s, %s::float8, %s, %s, %s, %s, %s, %s", given)
        equal(list(row), given)
        ((bytes_,),) = ask(conn, "SELECT %s::bytea", [b"\0\1\xfe\xff"])
        equal(bytes(bytes_), b"\0\1\xfe\xff")
        equal(ask(conn, "SELECT %s::jsonb", [extras.Json({"a": [1]})]), [({"a": [1]},)])


@case("runs a statement that SQL has prepared, and gives it up")
def prepared() -> None:
    with Connection(autocommit=True) as conn:
        ask(conn, "PREPARE twice (int) AS SELECT $1 * 2")
        for n in range(20):
            equal(ask(conn, "EXECUTE twice (%s)", [n]), [(n * 2,)])
        ask(conn, "DEALLOCATE twice")
        try:
            ask(conn, "EXECUTE twice (1)")
            raise AssertionError("given up")
        except errors.InvalidSqlStatementName:
            pass


@case("commits, rolls back, and goes back to a savepoint")
def transactions() -> None:
    with Connection() as conn:
        with conn:
            ask(conn, "CREATE TABLE p2_tx (a int)")
        with conn:
            ask(conn, "INSERT INTO p2_tx VALUES (1)")
            ask(conn, "SAVEPOINT here")
            try:
                ask(conn, "INSERT INTO p2_tx VALUES (1/0)")
                raise AssertionError("by zero")
            except errors.DivisionByZero:
                ask(conn, "ROLLBACK TO SAVEPOINT here")
        try:
            with conn:
                ask(conn, "INSERT INTO p2_tx VALUES (2)")
                raise KeyError("changed my mind")
        except KeyError:
            pass
        equal(ask(conn, "SELECT a FROM p2_tx"), [(1,)])


@case("runs a transaction that is serializable, read only and deferrable")
def transaction_modes() -> None:
    with Connection() as conn:
        conn.set_session("SERIALIZABLE", readonly=True, deferrable=True)
        equal(ask(conn, "SELECT current_setting('transaction_isolation')"), [("serializable",)])
        try:
            ask(conn, "CREATE TABLE p2_never ()")
            raise AssertionError("read only")
        except errors.ReadOnlySqlTransaction:
            conn.rollback()
        equal(ask(conn, "SELECT 1"), [(1,)])


@case("reads errors with code, table and constraint, and goes on")
def failures() -> None:
    with Connection(autocommit=True) as conn:
        ask(conn, "CREATE TABLE p2_unique (a int PRIMARY KEY)")
        ask(conn, "INSERT INTO p2_unique VALUES (1)")
        try:
            ask(conn, "INSERT INTO p2_unique VALUES (%s)", [1])
            raise AssertionError("twice")
        except errors.UniqueViolation as error:
            equal(error.pgcode, "23505")
            equal(error.diag.table_name, "p2_unique")
            equal(error.diag.constraint_name, "p2_unique_pkey")
        equal(ask(conn, "SELECT 2"), [(2,)])


@case("reads a cursor of the server in portions of 100, and one that outlives its transaction")
def cursors() -> None:
    with Connection() as conn:
        with conn.cursor("portions") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT generate_series(1, 1000)")
            equal(sum(n for (n,) in cursor), 500_500)
        held = conn.cursor("held", withhold=True)
        held.execute("SELECT generate_series(1, 10)")
        conn.commit()
        equal(held.fetchmany(3), [(1,), (2,), (3,)])
        held.close()


@case("copies 20,000 rows in and out, and goes on after a COPY that fails")
def copies() -> None:
    with Connection() as conn, conn.cursor() as cursor:
        cursor.execute("CREATE TABLE p2_copy (a int, b text)")
        text = "".join(f"{n}\trow {n}\n" for n in range(20_000))
        cursor.copy_expert("COPY p2_copy FROM STDIN", io.StringIO(text))
        out = io.StringIO()
        cursor.copy_expert("COPY p2_copy TO STDOUT", out)
        assert out.getvalue() == text, "the same rows come out"
        conn.commit()
        try:
            bad = io.StringIO("not a number\tx\n" * 20_000)
            cursor.copy_expert("COPY p2_copy FROM STDIN", bad)
            raise AssertionError("not a number")
        except errors.InvalidTextRepresentation:
            conn.rollback()
        equal(ask(conn, "SELECT count(*) FROM p2_copy"), [(20_000,)])


@case("writes a large object of 3 MB and reads it on another connection")
def large_objects() -> None:
    content = bytes(range(256)) * 12_288
    with Connection() as conn:
        made = conn.lobject(0, "wb")
        made.write(content)
        made.close()
        conn.commit()
    with Connection() as conn:
        found = conn.lobject(made.oid, "rb")
        assert found.read() == content, "the same bytes come out"
        found.unlink()
        conn.commit()


@case("inserts 1,000 rows by execute_values and execute_batch")
def many() -> None:
    with Connection() as conn, conn.cursor() as cursor:
        cursor.execute("CREATE TABLE p2_many (a int, b text)")
        rows = [(n, f"it's {n}") for n in range(1000)]
        extras.execute_values(cursor, "INSERT INTO p2_many VALUES %s", rows, page_size=100)
        extras.execute_batch(cursor, "INSERT INTO p2_many VALUES (%s, %s)", rows, page_size=100)
        conn.commit()
        equal(ask(conn, "SELECT count(*), sum(a) FROM p2_many"), [(2000, 999_000)])


@case("hears what another client notifies, and notices")
def notifications() -> None:
    with Connection(autocommit=True) as listener, Connection(autocommit=True) as other:
        ask(listener, "LISTEN news")
        ask(listener, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
        assert "hello" in listener.notices[-1], listener.notices
        ask(other, "SELECT pg_notify('news', 'it rains')")
        while not listener.notifies:
            assert select.select([listener], [], [], 10)[0], "nothing heard within 10 s"
            listener.poll()
        heard = listener.notifies.pop()
        equal((heard.channel, heard.payload), ("news", "it rains"))


@case("keeps its parameters and its encoding between transactions")
def parameters() -> None:
    with Connection(options="-c TimeZone=Asia/Kolkata", autocommit=True) as conn:
        conn.set_client_encoding("LATIN1")
        for _ in range(5):
            equal(ask(conn, "SHOW TimeZone"), [("Asia/Kolkata",)])
            equal(ask(conn, "SELECT %s", ["naïve"]), [("naïve",)])
        equal(conn.encoding, "LATIN1")


@case("cancels a statement that sleeps for 30 s")
def cancels() -> None:
    with Connection(autocommit=True) as conn:

        def cancel() -> None:
            until_running("p2 to be cancelled")
            conn.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            ask(conn, "SELECT pg_sleep(30), 'p2 to be cancelled'")
            raise AssertionError("not cancelled")
        except errors.QueryCanceled:
            thread.join()
        equal(ask(conn, "SELECT 3"), [(3,)])


@case("runs 200 queries over a pool of as many connections as it may open")
def pooled() -> None:
    pool = ThreadedConnectionPool(1, CLIENTS_MAX, **LOGIN)

    def work(n: int) -> int:
        conn = pool.getconn()
        try:
            ((value,),) = ask(conn, "SELECT %s", [n])
            return value
        finally:
            pool.putconn(conn)

    with ThreadPoolExecutor(CLIENTS_MAX) as threads:
        equal(list(threads.map(work, range(200))), list(range(200)))
    pool.closeall()


@case("connects again after the database restarted")
def restart() -> None:
    conn = psycopg2.connect(**LOGIN)
    conn.autocommit = True
    equal(ask(conn, "SELECT 1"), [(1,)])
    restart_server()
    try:
        ask(conn, "SELECT 1")
    except psycopg2.OperationalError:
        conn.close()
        conn = psycopg2.connect(**LOGIN)
    equal(ask(conn, "SELECT 2"), [(2,)])
    conn.close()


if __name__ == "__main__":
    converse()
