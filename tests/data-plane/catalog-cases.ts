/**
 * Databases and statements: which are clean, which are not, and which of these really plant
 * something.
 */

export interface CatalogCase {
  readonly name: string;
  readonly setup: string;
  /** Judged clean, and leave nothing in the session. */
  readonly clean?: readonly string[];
  /** Judged dirty; that costs a reset. */
  readonly dirty?: readonly string[];
  /** Judged dirty, and really leave something in the session. */
  readonly plants?: readonly string[];
}

const SETS = `SELECT set_config('application_name', 'planted', false)`;

/**
 * Functions that change the session; `plant_now` says that it is immutable, which nobody checks.
 */
const PLANT = `
  CREATE FUNCTION plant() RETURNS int LANGUAGE sql AS $$ ${SETS}; SELECT 1 $$;
  CREATE FUNCTION plant(int) RETURNS int LANGUAGE sql AS $$ ${SETS}; SELECT $1 $$;
  CREATE FUNCTION plant_now(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
    AS $$ BEGIN PERFORM set_config('application_name', 'planted', false); RETURN $1; END $$;
  CREATE FUNCTION plant_trigger() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM set_config('application_name', 'planted', false); RETURN NEW; END $$;`;

/** A path on which names of users come before those of the server. */
export const CATALOG_LAST = `DO $$ BEGIN EXECUTE format(
  'ALTER DATABASE %I SET search_path TO public, pg_catalog', current_database()); END $$`;

const READ = 'SELECT * FROM t';
const INSERT = 'INSERT INTO t (a) VALUES (2)';
const UPDATE = 'UPDATE t SET a = a + 1';
const DELETE = 'DELETE FROM t';
const ALL = [READ, INSERT, UPDATE, DELETE];

export const CASES: readonly CatalogCase[] = [
  {
    name: 'the statements of pgbench are clean',
    setup: `
      CREATE TABLE pgbench_history (
        tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
      CREATE TABLE pgbench_tellers (
        tid int NOT NULL PRIMARY KEY, bid int, tbalance int, filler char(84));
      CREATE TABLE pgbench_accounts (
        aid int NOT NULL PRIMARY KEY, bid int, abalance int, filler char(84));
      CREATE TABLE pgbench_branches (bid int NOT NULL PRIMARY KEY, bbalance int, filler char(88));
      ALTER TABLE pgbench_tellers ADD FOREIGN KEY (bid) REFERENCES pgbench_branches;
      ALTER TABLE pgbench_history ADD FOREIGN KEY (tid) REFERENCES pgbench_tellers;`,
    clean: [
      'SELECT abalance FROM pgbench_accounts WHERE aid = 7;',
      'UPDATE pgbench_accounts SET abalance = abalance + 5 WHERE aid = 7;',
      'UPDATE pgbench_tellers SET tbalance = tbalance + 5 WHERE tid = 7;',
      'UPDATE pgbench_branches SET bbalance = bbalance + 5 WHERE bid = 7;',
      `INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
         VALUES (NULL, 1, 7, 5, CURRENT_TIMESTAMP);`,
      'SELECT abalance FROM public.pgbench_accounts FOR UPDATE',
      'EXPLAIN ANALYZE DELETE FROM pgbench_accounts',
      'SELECT 1',
      'SELECT relname FROM pg_class',
      'SELECT count(*) FROM information_schema.tables',
    ],
    dirty: ['SELECT * FROM no_such_table', 'TRUNCATE pgbench_accounts', 'VACUUM pgbench_accounts'],
  },
  {
    name: 'plain columns, checks, defaults, generated columns and indexes are clean',
    setup: `
      CREATE TYPE mood AS ENUM ('fine', 'bad');
      CREATE DOMAIN plain_text AS text;
      CREATE TABLE t (
        a int CHECK (a > 0 AND a::text ~ '^[0-9]+$'), m mood DEFAULT 'fine', ms mood[] DEFAULT '{}',
        d plain_text, at timestamptz DEFAULT now() + interval '1 day',
        day date DEFAULT current_date,
        id uuid DEFAULT gen_random_uuid(), j jsonb DEFAULT '{}', who text DEFAULT current_user,
        g int GENERATED ALWAYS AS (a * 2) STORED, UNIQUE (a) DEFERRABLE);
      CREATE INDEX ON t (lower(who)) WHERE m = 'fine';
      INSERT INTO t (a) VALUES (1);`,
    clean: [...ALL, `SELECT 'bad'::mood FROM t`, 'UPDATE t SET m = DEFAULT'],
  },
  {
    name: 'views run functions, also those of views that they read',
    setup: `${PLANT} CREATE TABLE t (a int); INSERT INTO t VALUES (1);
      CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (1);
      ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON guarded USING (true);
      CREATE TYPE pair AS (a int, b int);
      CREATE VIEW v AS SELECT plant(), a FROM t; CREATE VIEW w AS SELECT * FROM t;
      CREATE VIEW rich AS WITH c AS (SELECT a, upper(a::text) AS b FROM w)
        SELECT a, max(b) AS b, count(*) OVER () AS n, CASE a WHEN 1 THEN now() END AS at FROM c
        LEFT JOIN t USING (a) WHERE a IN (SELECT a FROM t) GROUP BY ROLLUP (a) ORDER BY 1 LIMIT 9;
      CREATE VIEW over_w AS SELECT * FROM w; CREATE SEQUENCE s;
      CREATE VIEW over_v AS SELECT r.a FROM rich r, over_w o, v;
      CREATE VIEW hidden AS SELECT a FROM t WHERE EXISTS (SELECT FROM over_v);
      CREATE VIEW over_guarded AS SELECT * FROM guarded;
      CREATE VIEW locking AS SELECT * FROM t FOR UPDATE;
      CREATE VIEW sequences AS SELECT nextval('s') FROM t;
      CREATE VIEW pairs AS SELECT (ROW(a, plant())::pair).a FROM t;
      CREATE MATERIALIZED VIEW m AS SELECT * FROM w;`,
    clean: [...ALL, 'SELECT * FROM m', 'SELECT * FROM w', 'SELECT * FROM over_w, rich'],
    dirty: [
      'INSERT INTO w VALUES (1)',
      'SELECT * FROM over_guarded',
      'SELECT * FROM locking',
      'SELECT * FROM pairs',
    ],
    plants: [
      'SELECT * FROM v',
      'SELECT * FROM over_v',
      'SELECT * FROM hidden',
      'SELECT * FROM sequences',
      'EXPLAIN ANALYZE SELECT * FROM v',
      "COPY (SELECT * FROM v) TO PROGRAM 'cat'",
    ],
  },
  {
    name: 'triggers run on writes only',
    setup: `${PLANT} CREATE TABLE t (a int); INSERT INTO t VALUES (1);
      CREATE TRIGGER x BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION plant_trigger();`,
    clean: [READ, 'SELECT * FROM t FOR UPDATE'],
    dirty: [DELETE],
    plants: [INSERT, UPDATE, 'WITH x AS (UPDATE t SET a = 3 RETURNING a) SELECT * FROM x'],
  },
  {
    name: 'triggers run on tables that a foreign key cascades to, over two steps',
    setup: `${PLANT} CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1);
      CREATE TABLE middle (a int PRIMARY KEY REFERENCES t ON UPDATE CASCADE);
      CREATE TABLE leaf (a int REFERENCES middle ON UPDATE CASCADE);
      INSERT INTO middle VALUES (1); INSERT INTO leaf VALUES (1);
      CREATE TRIGGER x BEFORE UPDATE ON leaf FOR EACH ROW EXECUTE FUNCTION plant_trigger();`,
    clean: [READ, 'SELECT * FROM leaf'],
    dirty: [INSERT, 'UPDATE middle SET a = a'],
    plants: [UPDATE],
  },
  {
    name: 'triggers of tables that merely refer to a table do not run when that is written',
    setup: `${PLANT} CREATE TABLE t (a int PRIMARY KEY);
      CREATE TABLE leaf (b int REFERENCES t);
      CREATE TRIGGER x BEFORE INSERT ON leaf FOR EACH ROW EXECUTE FUNCTION plant_trigger();`,
    clean: ALL,
    plants: ['INSERT INTO leaf VALUES (NULL)'],
  },
  {
    name: 'ON DELETE SET DEFAULT evaluates the default of another table',
    setup: `CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (7);
      CREATE SEQUENCE s START 7;
      CREATE TABLE leaf (b int DEFAULT nextval('s') REFERENCES t ON DELETE SET DEFAULT);
      INSERT INTO leaf VALUES (1);`,
    clean: [READ, 'SELECT * FROM leaf', 'UPDATE leaf SET b = NULL WHERE false'],
    dirty: [UPDATE],
    plants: ['DELETE FROM t WHERE a = 1'],
  },
  {
    name: 'rules and row security rewrite statements',
    setup: `${PLANT} CREATE TABLE t (a int);
      CREATE RULE x AS ON INSERT TO t DO ALSO SELECT plant();
      CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (1);
      ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
      CREATE POLICY p ON guarded USING (plant() = 1);`,
    dirty: [...ALL, 'SELECT * FROM guarded'],
    plants: [INSERT],
  },
  {
    name: 'serial and identity columns leave a last value when rows are inserted',
    setup: `CREATE TABLE t (id serial, a int); INSERT INTO t (a) VALUES (1);
      CREATE TABLE i (id int GENERATED BY DEFAULT AS IDENTITY, a int);
      INSERT INTO i (a) VALUES (1);`,
    clean: [READ, UPDATE, DELETE, 'UPDATE i SET a = 2'],
    plants: [INSERT, 'UPDATE t SET id = DEFAULT', 'INSERT INTO i (a) VALUES (2)'],
  },
  {
    name: 'defaults call functions',
    setup: `${PLANT} CREATE TABLE t (a int, b int DEFAULT plant()); INSERT INTO t VALUES (1, 1);
      CREATE TABLE own (a int, b text DEFAULT set_config('application_name', 'planted', false));
      CREATE TABLE lock (a int, b bool DEFAULT pg_try_advisory_lock(1));`,
    clean: [READ, UPDATE, DELETE],
    plants: [INSERT, 'INSERT INTO own VALUES (1)', 'INSERT INTO lock VALUES (1)'],
  },
  {
    name: 'generated columns, checks and domains call functions',
    setup: `${PLANT} CREATE TABLE t (a int, b int GENERATED ALWAYS AS (plant_now(a)) STORED);
      CREATE TABLE c (a int CHECK (plant(a) > 0));
      CREATE DOMAIN d AS int CHECK (plant(VALUE) > 0);
      CREATE DOMAIN dd AS d; CREATE TABLE dt (a dd); CREATE TABLE plain (a int);
      INSERT INTO plain VALUES (1);`,
    dirty: [READ, UPDATE],
    plants: [
      INSERT,
      'INSERT INTO c VALUES (1)',
      'INSERT INTO dt VALUES (1)',
      'SELECT 1::d',
      'SELECT 1::dd',
      'ALTER TABLE plain ADD b int DEFAULT plant()',
    ],
  },
  {
    name: 'index expressions and predicates call functions, on a read when they are constant',
    setup: `${PLANT} CREATE TABLE t (a int); CREATE INDEX ON t (plant_now(a));
      CREATE TABLE p (a int); CREATE INDEX ON p (a) WHERE plant_now(a) > 0;
      CREATE TABLE k (a int); CREATE INDEX ON k (a) WHERE plant_now(1) > 0;`,
    dirty: [READ],
    plants: [INSERT, 'INSERT INTO p VALUES (1)', 'SELECT * FROM k WHERE a = 1'],
  },
  {
    name: 'partitions and children have triggers, checks and keys of their own',
    setup: `${PLANT} CREATE TABLE t (a int) PARTITION BY RANGE (a);
      CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (100); INSERT INTO t VALUES (1);
      CREATE TRIGGER x BEFORE UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION plant_trigger();
      CREATE TABLE k (a int) PARTITION BY LIST (plant_now(a));
      CREATE TABLE k1 PARTITION OF k FOR VALUES IN (1);
      CREATE TABLE plain (a int) PARTITION BY LIST (a);
      CREATE TABLE plain1 PARTITION OF plain FOR VALUES IN (1);`,
    clean: [READ, 'INSERT INTO plain VALUES (1)', 'INSERT INTO plain1 VALUES (1)'],
    plants: [UPDATE, 'INSERT INTO k VALUES (1)', 'INSERT INTO k1 VALUES (1)'],
  },
  {
    name: 'a name counts as plain only when it is plain in every schema',
    setup: `${PLANT} CREATE TABLE t (a int); CREATE SCHEMA other;
      CREATE VIEW other.t AS SELECT plant() AS a;
      CREATE TYPE mood AS ENUM ('fine'); CREATE DOMAIN other.mood AS text CHECK (plant() = 1);`,
    clean: ['SELECT * FROM public.t', 'INSERT INTO public.t VALUES (1)'],
    dirty: [READ, `SELECT 'fine'::mood`],
    plants: ['SELECT * FROM other.t', `SELECT 'fine'::other.mood`],
  },
  {
    name: 'operators of users are meant by their names, those that compare by any expression',
    setup: `${PLANT}
      CREATE FUNCTION plant(int, int) RETURNS bool LANGUAGE sql AS $$ ${SETS} IS NOT NULL $$;
      CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = plant);
      CREATE TABLE t (a int); INSERT INTO t VALUES (1);`,
    clean: ALL,
    plants: ['SELECT a === 1 FROM t', 'SELECT 1 === 1', 'SELECT 1 OPERATOR(public.===) 1'],
  },
  {
    name: 'an operator that compares may be meant by any expression',
    setup: `CREATE FUNCTION plant(int, text) RETURNS bool LANGUAGE sql
        AS $$ ${SETS} IS NOT NULL $$;
      CREATE OPERATOR = (LEFTARG = int, RIGHTARG = text, FUNCTION = plant);
      CREATE TABLE t (a int); INSERT INTO t VALUES (1);`,
    dirty: ALL,
    plants: [`SELECT 1 IN ('a'::text)`, `SELECT CASE 1 WHEN 'a'::text THEN 2 END`],
  },
  {
    name: 'casts of users may be in any expression',
    setup: `CREATE FUNCTION cast_it(json) RETURNS int LANGUAGE sql AS $$ ${SETS}; SELECT 1 $$;
      CREATE CAST (json AS int) WITH FUNCTION cast_it AS ASSIGNMENT; CREATE TABLE t (a int);`,
    dirty: ALL,
    plants: [`SELECT '1'::json::int`, `INSERT INTO t VALUES ('1'::json)`],
  },
  {
    name: 'functions of users hide built-in ones of their name, where the path lets them',
    setup: `CREATE FUNCTION lower(text) RETURNS text LANGUAGE sql AS $$ ${SETS} $$;
      CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'b');
      ${CATALOG_LAST}`,
    clean: [...ALL, 'SELECT upper(b) FROM t'],
    dirty: ['SELECT pg_catalog.lower(b) FROM t'],
    plants: ['SELECT lower(b) FROM t', `SELECT lower('b')`],
  },
  {
    name: 'functions that the grammar spells can be hidden too',
    setup: `CREATE FUNCTION public.substring(text, text, int) RETURNS text
      LANGUAGE sql AS $$ ${SETS} $$;`,
    plants: [`SELECT substring('a', 'b', 3)`],
  },
  {
    name: 'types of users hide built-in ones of their name, where the path lets them',
    setup: `${PLANT} CREATE DOMAIN public.date AS text CHECK (plant() = 1);
      ${CATALOG_LAST}`,
    plants: [`SELECT '2020-01-01'::date`],
  },
  {
    name: 'a function of a row is called like a column',
    setup: `CREATE TABLE t (a int); INSERT INTO t VALUES (1);
      CREATE FUNCTION f(t) RETURNS text LANGUAGE sql AS $$ ${SETS} $$;
      CREATE FUNCTION of_text(text) RETURNS text LANGUAGE sql AS $$ ${SETS} $$;
      CREATE TABLE other (a int);`,
    clean: ['SELECT other.a FROM other', 'INSERT INTO other VALUES (1)'],
    plants: ['SELECT t.f FROM t', 'SELECT s.f FROM (SELECT 1) s', `SELECT ('a'::text).of_text`],
  },
  {
    name: 'a function of a list of rows, or of a domain over them, is called like a column',
    setup: `CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE other (a int);
      CREATE FUNCTION f(VARIADIC t[]) RETURNS text LANGUAGE sql AS $$ ${SETS} $$;
      CREATE TABLE u (a int); INSERT INTO u VALUES (1);
      CREATE FUNCTION check_row(u) RETURNS bool LANGUAGE sql AS $$ ${SETS} IS NOT NULL $$;
      CREATE DOMAIN checked AS u CHECK (check_row(VALUE));`,
    clean: ['SELECT other.a FROM other'],
    plants: ['SELECT t.f FROM t', 'SELECT u.checked FROM u'],
  },
  {
    name: 'a row that is cast is called with functions of what it is cast to',
    setup: `CREATE TABLE t (a int); INSERT INTO t VALUES (1);
      CREATE CAST (t AS text) WITH INOUT AS IMPLICIT;
      CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS $$ ${SETS} $$;`,
    plants: ['SELECT t.f FROM t'],
  },
  {
    name: 'the value of a function in FROM has functions for attributes',
    setup: PLANT,
    clean: [
      'SELECT g.g, h.i, e.key FROM unnest($${1}$$::int[]) g, generate_series(1, 2) h (i), ' +
        `json_each('{"a":1}') e`,
    ],
    plants: [
      'SELECT g.plant FROM generate_series(1, 1) g',
      'SELECT g.pg_advisory_lock FROM generate_series(1::bigint, 1) AS g',
      'SELECT r.plant FROM ROWS FROM (generate_series(1, 1)) AS r',
      'SELECT c.plant FROM CAST(7 AS int) AS c',
    ],
  },
  {
    name: 'a type is called like a function of its name',
    setup: `${PLANT} CREATE DOMAIN length AS int CHECK (plant(VALUE) > 0);`,
    clean: ['SELECT upper($$a$$)'],
    plants: ['SELECT length(5)'],
  },
  {
    name: 'a list of columns behind a function has types whose checks run',
    setup: `${PLANT} CREATE DOMAIN d AS int CHECK (plant(VALUE) > 0);`,
    plants: [
      `SELECT * FROM json_populate_record(NULL::record, '{"a":1}') AS x (a d)`,
      `SELECT * FROM jsonb_populate_recordset(NULL::record, '[{"a":1}]') AS x (a d)`,
    ],
  },
  {
    name: 'statistics of expressions are evaluated where a query is planned',
    setup: `${PLANT} CREATE TABLE t (a int, b int);
      INSERT INTO t SELECT i, i FROM generate_series(1, 100) i;
      CREATE STATISTICS s ON (a + plant_now(1)), b FROM t; ANALYZE t;
      CREATE TABLE plain (a int, b int); CREATE STATISTICS p ON (a + 1), b FROM plain;`,
    clean: ['SELECT a FROM plain WHERE a = 1 AND b = 1'],
    plants: ['SELECT a FROM t WHERE a = 1 AND b = 1'],
  },
  {
    name: 'a function of any row is called like a column of every table, by its name',
    setup: `CREATE FUNCTION f(anyelement) RETURNS text LANGUAGE sql AS $$ ${SETS} $$;
      CREATE TABLE t (a int); INSERT INTO t VALUES (1)`,
    clean: [...ALL, 'SELECT t.a FROM t'],
    plants: ['SELECT t.f FROM t', 'SELECT c.f FROM pg_catalog.pg_class c'],
  },
  {
    name: 'definitions run event triggers, and are dirty without them',
    setup: `CREATE TABLE t (a int);
      CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM set_config('application_name', 'planted', false); END $$;
      CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e();`,
    clean: ALL,
    dirty: ['DROP TABLE u', 'ANALYZE t', 'REFRESH MATERIALIZED VIEW m'],
    plants: ['CREATE TABLE u (a int)', 'CREATE TABLE w AS SELECT * FROM t'],
  },
];
