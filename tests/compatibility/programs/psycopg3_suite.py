"""
psycopg 3: statements that it prepares by itself at their fifth use, pipelines, COPY, asyncio.
"""

import asyncio
import datetime
import decimal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from conversation import CLIENTS_MAX, LOGIN, case, converse, equal, restart_server, until_running


def connect(**options) -> psycopg.Connection:
    return psycopg.connect(**LOGIN, **options)


@case("creates a schema with its tables, types, indexes, views and functions")
def schema() -> None:
    with connect() as conn:
        conn.execute("CREATE SCHEMA shop")
        conn.execute("CREATE TYPE shop.state AS ENUM ('open', 'done')")
        conn.execute("CREATE TABLE shop.orders (id int PRIMARY KEY, state shop.state NOT NULL)")
        conn.execute("CREATE INDEX orders_state ON shop.orders (state)")
        conn.execute("CREATE VIEW shop.done AS SELECT id FROM shop.orders WHERE state = 'done'")
        conn.execute(
            "CREATE FUNCTION shop.finish(int) RETURNS void LANGUAGE sql "
            "AS $$ UPDATE shop.orders SET state = 'done' WHERE id = $1 $$"
        )
    with connect() as conn:
        conn.execute("SET search_path = shop")
        conn.execute("INSERT INTO orders VALUES (%s, 'open'), (2, 'open')", [1])
        conn.execute("SELECT finish(%s)", [2])
        equal(conn.execute("SELECT id FROM done").fetchall(), [(2,)])


@case("gives and takes values of every common type, as text and as binary")
def values() -> None:
    at = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=datetime.timezone.utc)
    given = [7, 2**53 + 1, 0.1, decimal.Decimal("1.10"), True, "naïve 🐘", b"\0\1\xfe\xff", at]
    given += [uuid.UUID("0193b2a4-6a2e-7cc1-9c3f-5f1d2a3b4c5d"), [1, 2], None]
    types = "int4 int8 float8 numeric bool text bytea timestamptz uuid int4[] text".split()
    for binary in (False, True):
        with connect() as conn:
            marks = ", ".join(f"%{'b' if binary and t != 'text' else 's'}::{t}" for t in types)
            row = conn.cursor(binary=binary).execute(f"SELECT {marks}", given).fetchone()
            equal(list(row), given)
            json = conn.execute("SELECT %s::jsonb", [Jsonb({"a": [1]})]).fetchone()
            equal(json, ({"a": [1]},))


@case("prepares a statement at its fifth use, over as many connections as it may open")
def prepared() -> None:
    def work(_: int) -> list[int]:
        with connect(autocommit=True) as conn:
            return [conn.execute("SELECT %s::int4 * 2", [n]).fetchone()[0] for n in range(20)]

    with ThreadPoolExecutor(CLIENTS_MAX) as threads:
        for answers in threads.map(work, range(CLIENTS_MAX)):
            equal(answers, [n * 2 for n in range(20)])


@case("gives up prepared statements beyond the 10 it keeps, and prepares them again")
def prepared_and_given_up() -> None:
    with connect(autocommit=True) as conn:
        conn.prepared_max = 10
        for _ in range(3):
            for n in range(30):
                query = f"SELECT %s::int4 + {n}"
                equal(conn.execute(query, [1], prepare=True).fetchone(), (n + 1,))


@case("gives up what it has prepared after a rollback and a DROP, and prepares it again")
def prepared_and_forgotten() -> None:
    with connect() as conn:
        for n in range(3):
            equal(conn.execute("SELECT %s::int4", [n], prepare=True).fetchone(), (n,))
            conn.execute(f"CREATE TABLE p3_drop{n} (a int)")
            conn.commit()
            equal(conn.execute("SELECT %s::int4", [n], prepare=True).fetchone(), (n,))
            conn.rollback()
            equal(conn.execute("SELECT %s::int4", [n], prepare=True).fetchone(), (n,))
            conn.execute(f"DROP TABLE p3_drop{n}")
            equal(conn.execute("SELECT %s::int4", [n], prepare=True).fetchone(), (n,))
            conn.commit()


@case("commits, rolls back, and goes back to a savepoint")
def transactions() -> None:
    with connect() as conn:
        conn.execute("CREATE TABLE p3_tx (a int)")
        conn.commit()
        with conn.transaction():
            conn.execute("INSERT INTO p3_tx VALUES (1)")
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO p3_tx VALUES (1/0)")
            except errors.DivisionByZero:
                pass
            conn.execute("INSERT INTO p3_tx VALUES (2)")
        try:
            with conn.transaction():
                conn.execute("INSERT INTO p3_tx VALUES (3)")
                raise KeyError("changed my mind")
        except KeyError:
            pass
        equal(conn.execute("SELECT a FROM p3_tx ORDER BY a").fetchall(), [(1,), (2,)])


@case("runs a transaction that is serializable, read only and deferrable")
def transaction_modes() -> None:
    with connect() as conn:
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        conn.read_only = True
        conn.deferrable = True
        level = conn.execute("SELECT current_setting('transaction_isolation')").fetchone()
        equal(level, ("serializable",))
        try:
            conn.execute("CREATE TABLE p3_never ()")
            raise AssertionError("read only")
        except errors.ReadOnlySqlTransaction:
            conn.rollback()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@case("reads errors with code, table and constraint, and goes on")
def failures() -> None:
    with connect(autocommit=True) as conn:
        conn.execute("CREATE TABLE p3_unique (a int PRIMARY KEY)")
        conn.execute("INSERT INTO p3_unique VALUES (1)")
        try:
            conn.execute("INSERT INTO p3_unique VALUES (%s)", [1])
            raise AssertionError("twice")
        except errors.UniqueViolation as error:
            equal(error.diag.table_name, "p3_unique")
            equal(error.diag.constraint_name, "p3_unique_pkey")
            equal(error.diag.message_detail, "Key (a)=(1) already exists.")
        try:
            conn.execute("SELECT 1 FROM nowhere")
            raise AssertionError("nowhere")
        except errors.UndefinedTable as error:
            equal(error.diag.statement_position, "15")
        equal(conn.execute("SELECT 2").fetchone(), (2,))


@case("pipelines 100 statements, with an error in their middle")
def pipelines() -> None:
    with connect(autocommit=True) as conn:
        conn.execute("CREATE TABLE p3_pipeline (a int PRIMARY KEY)")
        with conn.pipeline():
            for n in range(100):
                conn.execute("INSERT INTO p3_pipeline VALUES (%s)", [n])
        equal(conn.execute("SELECT count(*) FROM p3_pipeline").fetchone(), (100,))
        try:
            with conn.pipeline() as pipeline:
                conn.execute("INSERT INTO p3_pipeline VALUES (100)")
                conn.execute("INSERT INTO p3_pipeline VALUES (1)")
                conn.execute("INSERT INTO p3_pipeline VALUES (101)")
                pipeline.sync()
            raise AssertionError("twice")
        except errors.UniqueViolation:
            pass
        equal(conn.execute("SELECT max(a) FROM p3_pipeline").fetchone(), (99,))


@case("inserts 1,000 rows by executemany and reads what they return")
def many() -> None:
    with connect() as conn:
        conn.execute("CREATE TABLE p3_many (id serial, name text)")
        cursor = conn.cursor()
        names = [(f"n{n}",) for n in range(1000)]
        insert = "INSERT INTO p3_many (name) VALUES (%s) RETURNING id"
        cursor.executemany(insert, names, returning=True)
        ids = [cursor.fetchone()[0]]
        while cursor.nextset():
            ids.append(cursor.fetchone()[0])
        equal(ids, list(range(1, 1001)))


@case("reads a cursor of the server in portions of 100, and one that outlives its transaction")
def cursors() -> None:
    with connect() as conn:
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
    with connect() as conn:
        conn.execute("CREATE TABLE p3_copy (a int, b text)")
        cursor = conn.cursor()
        rows = [(n, f"row\t{n}") for n in range(20_000)]
        with cursor.copy("COPY p3_copy FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        with cursor.copy("COPY p3_copy TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            equal(list(copy.rows()), rows)
        conn.commit()
        try:
            with cursor.copy("COPY p3_copy FROM STDIN") as copy:
                for _ in range(20_000):
                    copy.write("not a number\tx\n")
            raise AssertionError("not a number")
        except errors.InvalidTextRepresentation:
            conn.rollback()
        equal(conn.execute("SELECT count(*) FROM p3_copy").fetchone(), (20_000,))


@case("hears what another client notifies")
def notifications() -> None:
    with connect(autocommit=True) as listener, connect(autocommit=True) as other:
        listener.execute("LISTEN news")
        other.execute("SELECT pg_notify('news', 'it rains')")
        heard = next(listener.notifies())
        equal((heard.channel, heard.payload), ("news", "it rains"))


@case("keeps its parameters between transactions")
def parameters() -> None:
    with connect(options="-c TimeZone=Asia/Kolkata", autocommit=True) as conn:
        conn.execute("SET statement_timeout = '29s'")
        for _ in range(5):
            equal(conn.execute("SHOW TimeZone").fetchone(), ("Asia/Kolkata",))
            equal(conn.execute("SHOW statement_timeout").fetchone(), ("29s",))


@case("cancels a statement that sleeps for 30 s")
def cancels() -> None:
    with connect(autocommit=True) as conn:

        def cancel() -> None:
            until_running("p3 to be cancelled")
            conn.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            conn.execute("SELECT pg_sleep(30), 'p3 to be cancelled'")
            raise AssertionError("not cancelled")
        except errors.QueryCanceled:
            thread.join()
        equal(conn.execute("SELECT 3").fetchone(), (3,))


@case("runs 100 queries at once by asyncio")
def asynchronous() -> None:
    async def ask(n: int) -> int:
        conn = await psycopg.AsyncConnection.connect(**LOGIN)
        async with conn:
            total = 0
            for _ in range(10):
                cursor = await conn.execute("SELECT %s::int4", [n])
                (value,) = await cursor.fetchone()
                await conn.commit()
                total += value
            return total

    async def work() -> list[int]:
        return await asyncio.gather(*(ask(n) for n in range(min(CLIENTS_MAX, 10))))

    answers = asyncio.run(work())
    equal(answers, [n * 10 for n in range(len(answers))])


@case("reads rows as dictionaries, of names that it quotes")
def rows() -> None:
    with connect() as conn:
        conn.row_factory = dict_row
        name = 'it\'s "so"'
        query = sql.SQL("SELECT 1 AS {}").format(sql.Identifier(name))
        equal(conn.execute(query).fetchone(), {name: 1})


@case("connects again after the database restarted")
def restart() -> None:
    conn = connect(autocommit=True)
    equal(conn.execute("SELECT 1").fetchone(), (1,))
    restart_server()
    try:
        conn.execute("SELECT 1")
    except psycopg.OperationalError:
        conn.close()
        conn = connect(autocommit=True)
    equal(conn.execute("SELECT 2").fetchone(), (2,))
    conn.close()


if __name__ == "__main__":
    converse()
