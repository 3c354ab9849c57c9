/**
 * A database in which nearly everything that a query can reach runs somebody's code, and ways to
 * step on each of these mines. Beside them stands what is harmless.
 * Owns: the mines and the statements that are known to reach them. Leaves: noticing that one went
 * off to minefield-server.ts, statements at random to mine-statements.ts.
 */

/** Beyond what it says by itself, each mine takes the next value of `trace`, which stays. */
export const GROUND = `
CREATE SEQUENCE trace;
CREATE TABLE log (a int);
CREATE TABLE plain (a int PRIMARY KEY, b text, c bigint);
INSERT INTO plain VALUES (1, 'one', 1), (2, 'two', 2);
CREATE TABLE other (a int REFERENCES plain, d date DEFAULT now());
INSERT INTO other VALUES (1), (2);
CREATE TYPE mood AS ENUM ('fine', 'bad');
CREATE DOMAIN short AS varchar(3);
CREATE TABLE typed (a int, b mood, s short, m mood[]);
INSERT INTO typed VALUES (1, 'fine', 'abc', '{bad}');
CREATE TABLE parted (a int, b text) PARTITION BY LIST (a);
CREATE TABLE part1 PARTITION OF parted FOR VALUES IN (1);
INSERT INTO parted VALUES (1, 'p');
CREATE MATERIALIZED VIEW kept AS SELECT a, b FROM plain;
CREATE VIEW simple AS SELECT a, upper(b) AS b, c FROM plain WHERE a > 0;
CREATE VIEW layered AS SELECT s.a, count(*) AS n, max(s.b) AS b FROM simple s
  LEFT JOIN other o USING (a) GROUP BY s.a ORDER BY s.a;

CREATE FUNCTION mine(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
  PERFORM nextval('public.trace');
  CASE $1 % 6
    WHEN 0 THEN PERFORM set_config('mine.set', $1::text, false);
    WHEN 1 THEN PERFORM pg_advisory_lock($1);
    WHEN 2 THEN PERFORM pg_notify('mine', '');
    WHEN 3 THEN PERFORM lo_create(0);
    WHEN 4 THEN INSERT INTO public.log VALUES ($1);
    WHEN 5 THEN PERFORM pg_sleep(0.001);
  END CASE;
  RETURN $1; END $$;
CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT public.mine(4)';
CREATE FUNCTION mine_text(text) RETURNS text LANGUAGE plpgsql
  AS $$ BEGIN PERFORM public.mine(1); RETURN $1; END $$;
-- Nobody checks what a function says of itself.
CREATE FUNCTION mine_now(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM nextval('public.trace'); RETURN $1; END $$;
CREATE FUNCTION mine_trigger() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN PERFORM public.mine(4); RETURN NEW; END $$;`;

export interface Mine {
  readonly name: string;
  readonly setup: string;
  /** Each runs code of users, as the database is set up. */
  readonly steps: readonly string[];
}

/** A base type as only extensions make them, here of the server's own code. */
function privateType(name: string, like: string, category: string): string {
  const [input, output] = like === 'text' ? ['textin', 'textout'] : ['float8in', 'float8out'];
  return `CREATE TYPE ${name};
    CREATE FUNCTION ${name}_in(cstring) RETURNS ${name} LANGUAGE internal IMMUTABLE STRICT
      AS '${input}';
    CREATE FUNCTION ${name}_out(${name}) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT
      AS '${output}';
    CREATE TYPE ${name} (INPUT = ${name}_in, OUTPUT = ${name}_out, LIKE = ${like},
      CATEGORY = '${category}');`;
}

function operatorOf(name: string, by: string, left: string, right: string): string {
  return `CREATE FUNCTION ${by}(${left}, ${right}) RETURNS bool LANGUAGE sql
    AS 'SELECT mine(5) = 5'; CREATE OPERATOR ${name} (LEFTARG = ${left}, RIGHTARG = ${right},
    FUNCTION = ${by});`;
}

/** What may lie in one database together. */
export const MINES: readonly Mine[] = [
  {
    name: 'functions',
    setup: `CREATE FUNCTION fresh(VARIADIC int[]) RETURNS int LANGUAGE sql AS 'SELECT mine(0)';
      CREATE FUNCTION setting() RETURNS SETOF int LANGUAGE sql AS 'SELECT mine(3)';
      CREATE SCHEMA s; CREATE FUNCTION s.upper(text) RETURNS text LANGUAGE sql
        AS 'SELECT public.mine_text($1)';`,
    steps: [
      'SELECT mine(5)',
      'SELECT a FROM plain WHERE mine(a) = 1',
      'SELECT fresh(1, 2)',
      'SELECT * FROM setting()',
      "SELECT s.upper('a')",
      'SELECT ARRAY(SELECT mine(a) FROM plain)',
      'SELECT a FROM plain ORDER BY mine(a)',
      'SELECT (ARRAY[1, 2])[mine(1)]',
      'VALUES (mine(2))',
      'WITH c AS MATERIALIZED (SELECT mine(1) AS m) SELECT m FROM c',
      'SELECT 1 LIMIT mine(1)',
      'SELECT count(*) FILTER (WHERE mine(a) = 1) FROM plain',
      'SELECT sum(mine(a)) OVER () FROM plain',
      `SELECT 'x' LIKE mine_text('x')`,
    ],
  },
  {
    name: 'overloads of built-in functions that suit their arguments better',
    setup: `CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT mine_text($1)';
      CREATE FUNCTION sqrt(smallint) RETURNS int LANGUAGE sql AS 'SELECT mine(5)';
      CREATE FUNCTION btrim(int) RETURNS int LANGUAGE sql AS 'SELECT mine(5)';
      CREATE FUNCTION ceil(int) RETURNS int LANGUAGE sql AS 'SELECT mine(5)';
      CREATE FUNCTION step_date(int, date) RETURNS int LANGUAGE sql AS 'SELECT mine($1)';
      CREATE AGGREGATE sum(date) (SFUNC = step_date, STYPE = int, INITCOND = '0');`,
    steps: [
      'SELECT lower(b::varchar) FROM plain',
      'SELECT sqrt(3::smallint)',
      'SELECT btrim(3)',
      'SELECT ceil(3)',
      'SELECT sum(d) FROM other',
      'SELECT sum(d) OVER () FROM other',
    ],
  },
  {
    name: 'views, plain and over one another',
    setup: `CREATE VIEW calling AS SELECT mine(a) AS m, a FROM plain;
      CREATE VIEW over_calling AS SELECT * FROM calling;
      CREATE VIEW far_calling AS WITH c AS (SELECT m AS a FROM over_calling) SELECT a FROM c;
      CREATE VIEW filtering AS SELECT a FROM plain WHERE EXISTS (SELECT FROM calling WHERE m > 0);
      CREATE VIEW sequencing AS SELECT nextval('trace') AS a;
      CREATE VIEW locking AS SELECT pg_try_advisory_lock(a) AS a FROM plain;
      CREATE VIEW sampling AS SELECT s.a FROM setting() AS s (a);
      CREATE SCHEMA other_schema;
      CREATE VIEW other_schema.odd_plain AS SELECT mine(a) AS a FROM other;`,
    steps: [
      'SELECT * FROM calling',
      'TABLE over_calling',
      'SELECT a FROM far_calling',
      'SELECT p.a FROM plain p JOIN far_calling f ON f.a = p.a',
      'SELECT * FROM filtering',
      'SELECT * FROM sequencing',
      'SELECT * FROM locking',
      'SELECT * FROM sampling',
      'SELECT * FROM other_schema.odd_plain',
      'SELECT (SELECT max(a) FROM far_calling)',
    ],
  },
  {
    name: 'row security, rules, triggers and defaults',
    setup: `CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (1);
      ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
      CREATE POLICY p ON guarded USING (mine(a) = 1); GRANT SELECT ON guarded TO PUBLIC;
      CREATE VIEW over_guarded AS SELECT * FROM guarded;
      CREATE TABLE ruled (a int); CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT mine(4);
      CREATE TABLE triggered (a int); CREATE TRIGGER t BEFORE INSERT ON triggered
        FOR EACH ROW EXECUTE FUNCTION mine_trigger();
      CREATE TABLE defaulting (a int, b int DEFAULT mine(4));`,
    steps: [
      'INSERT INTO ruled VALUES (1)',
      'INSERT INTO triggered VALUES (1)',
      'INSERT INTO defaulting VALUES (1)',
      'WITH w AS (INSERT INTO triggered VALUES (2) RETURNING a) SELECT a FROM w',
      'SELECT * FROM plain FOR UPDATE',
      'SELECT * FROM guarded',
      'SELECT a INTO made FROM triggered',
    ],
  },
  {
    name: 'tables whose expressions are evaluated where a query is planned',
    setup: `CREATE TABLE indexed (a int); CREATE INDEX ON indexed (a) WHERE mine_now(1) > 0;
      CREATE TABLE counted (a int, b int);
      CREATE STATISTICS st ON (a + mine_now(1)), b FROM counted;
      INSERT INTO counted SELECT i, i FROM generate_series(1, 100) i; ANALYZE counted;
      CREATE TABLE parent (a int); CREATE TABLE child (CHECK (a > mine_now(0))) INHERITS (parent);
      CREATE VIEW over_indexed AS SELECT * FROM indexed;`,
    steps: [
      'SELECT a FROM indexed WHERE a = 1',
      'SELECT a FROM over_indexed WHERE a = 1',
      'SELECT a FROM counted WHERE a = 1 AND b = 1',
      'SELECT a FROM parent WHERE a > 7',
    ],
  },
  {
    name: 'types whose values are checked',
    setup: `CREATE DOMAIN checked AS int CHECK (mine(VALUE) > 0);
      CREATE DOMAIN twice_checked AS checked; CREATE DOMAIN s.odd AS text CHECK (mine(1) = 1);
      CREATE DOMAIN checked_text AS text CHECK (mine_text(VALUE) <> 'x');
      CREATE TYPE pair AS (a checked, b int); CREATE TABLE held (a int, b checked_text);
      CREATE DOMAIN length AS int CHECK (mine(VALUE) > 0);`,
    steps: [
      'SELECT 1::checked',
      'SELECT CAST(1 AS twice_checked)',
      `SELECT checked '1'`,
      `SELECT 'a'::s.odd`,
      `SELECT '(1,2)'::pair`,
      'SELECT ROW(1, 2)::pair',
      `SELECT '{1}'::checked[]`,
      'SELECT length(5)',
      `SELECT * FROM json_populate_record(NULL::pair, '{"a":1}')`,
      `SELECT * FROM json_populate_record(NULL::record, '{"a":1}') AS x (a checked)`,
      `SELECT * FROM json_to_recordset('[{"a":1}]') AS x (a checked)`,
      `SELECT * FROM ROWS FROM (jsonb_to_record('{"a":1}') AS (a checked)) AS x`,
      `SELECT x.a FROM xmltable('/r' PASSING '<r>1</r>' COLUMNS a checked PATH '.') AS x`,
    ],
  },
  {
    name: 'functions of rows, and of values, that are called like columns',
    setup: `CREATE TABLE rows (a int); INSERT INTO rows VALUES (1);
      CREATE FUNCTION of_row(rows) RETURNS int LANGUAGE sql AS 'SELECT mine(5)';
      CREATE TABLE listed (a int); INSERT INTO listed VALUES (1);
      CREATE FUNCTION of_rows(VARIADIC listed[]) RETURNS int LANGUAGE sql AS 'SELECT mine(5)';
      CREATE TABLE checked_rows (a int); INSERT INTO checked_rows VALUES (1);
      CREATE FUNCTION check_row(checked_rows) RETURNS bool LANGUAGE sql AS 'SELECT mine(1) = 1';
      CREATE DOMAIN checked_row AS checked_rows CHECK (check_row(VALUE));
      CREATE TABLE heirs () INHERITS (rows); INSERT INTO heirs VALUES (2);`,
    steps: [
      'SELECT r.of_row FROM rows r',
      'SELECT (r).of_row FROM rows r',
      'SELECT h.of_row FROM heirs h',
      'SELECT l.of_rows FROM listed l',
      'SELECT s.of_row FROM (SELECT 1) AS s',
      'WITH c AS (VALUES (1)) SELECT c.of_row FROM c',
      'SELECT c.checked_row FROM checked_rows c',
      `SELECT ('a'::text).mine_text`,
      'SELECT (1).mine',
      'SELECT g.mine FROM generate_series(1, 1) AS g',
      `SELECT g.mine_text FROM unnest('{a}'::text[]) g`,
      'SELECT r.mine FROM ROWS FROM (generate_series(1, 1)) AS r',
      'SELECT c.mine FROM CAST(1 AS int) AS c',
      'SELECT g.pg_advisory_lock FROM generate_series(1::bigint, 1) AS g',
      'SELECT g.pg_try_advisory_lock FROM generate_series(1::bigint, 1) AS g',
      'SELECT (77::bigint).pg_advisory_lock_shared',
      'SELECT (0::oid).lo_create',
      `SELECT ('trace'::regclass).nextval`,
    ],
  },
  {
    name: 'operators that have names of their own',
    setup: `CREATE FUNCTION close_to(int, int) RETURNS bool LANGUAGE sql AS 'SELECT mine($1) = 1';
      CREATE OPERATOR <=> (LEFTARG = int, RIGHTARG = int, FUNCTION = close_to);
      CREATE FUNCTION text_close_to(text, text) RETURNS text LANGUAGE sql
        AS 'SELECT mine_text($1)';
      CREATE OPERATOR % (LEFTARG = text, RIGHTARG = text, FUNCTION = text_close_to);`,
    steps: [
      'SELECT 1 <=> 2',
      'SELECT a FROM plain WHERE a OPERATOR(public.<=>) 1',
      'SELECT a <=> ANY (ARRAY[1]) FROM plain',
      `SELECT b % 'x' FROM plain`,
    ],
  },
  {
    name: 'a type of its own, with operators, functions, casts and indexes as extensions have them',
    setup: `${privateType('folded', 'text', 'S')} ${privateType('distance', 'float8', 'U')}
      CREATE FUNCTION cmp(folded, folded) RETURNS int LANGUAGE sql AS 'SELECT mine(0)';
      ${['=', '<>', '<', '<=', '>', '>=', '~~', '||', '~', '!~']
        .map((name, i) => operatorOf(name, `op_${i}`, 'folded', 'folded'))
        .join('\n')}
      ${operatorOf('~~', 'like_text', 'folded', 'text')}
      ${['=', '+', '-', '*', '<', '<->', '<#>']
        .map((name, i) => operatorOf(name, `d_op_${i}`, 'distance', 'distance'))
        .join('\n')}
      ${operatorOf('<~>', 'wave', 'distance', 'text')}
      CREATE OPERATOR CLASS folded_ops DEFAULT FOR TYPE folded USING btree AS OPERATOR 1 <,
        OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 cmp(folded, folded);
      CREATE CAST (folded AS text) WITHOUT FUNCTION AS IMPLICIT;
      CREATE CAST (text AS folded) WITHOUT FUNCTION AS ASSIGNMENT;
      CREATE FUNCTION to_folded(bool) RETURNS folded LANGUAGE sql
        AS 'SELECT mine_text(''t'')::folded';
      CREATE CAST (bool AS folded) WITH FUNCTION to_folded AS ASSIGNMENT;
      CREATE FUNCTION replace(folded, folded, folded) RETURNS text LANGUAGE sql
        AS 'SELECT mine_text($1::text)';
      CREATE FUNCTION split_part(folded, folded, int) RETURNS text LANGUAGE sql
        AS 'SELECT mine_text($1::text)';
      CREATE FUNCTION larger(folded, folded) RETURNS folded LANGUAGE sql
        AS 'SELECT mine_text($1::text)::folded';
      CREATE AGGREGATE max(folded) (SFUNC = larger, STYPE = folded);
      CREATE FUNCTION further(distance, distance) RETURNS distance LANGUAGE sql
        AS 'SELECT mine(0); SELECT $1';
      CREATE AGGREGATE avg(distance) (SFUNC = further, STYPE = distance);
      CREATE FUNCTION trunc(distance) RETURNS int LANGUAGE sql AS 'SELECT mine(0)';
      CREATE TABLE folding (a int, b folded); INSERT INTO folding VALUES (1, 'x'), (2, 'y');
      CREATE TYPE spans AS RANGE (SUBTYPE = float8);`,
    steps: [
      `SELECT 'a'::folded = 'b'`,
      `SELECT folded 'a' || 'b'`,
      `SELECT b = 'x' FROM folding`,
      'SELECT b FROM folding ORDER BY b',
      'SELECT max(b) FROM folding',
      `SELECT a FROM folding WHERE b LIKE 'x%'`,
      `SELECT '1' <#> '2'`,
      `SELECT 'a' OPERATOR(public.=) 'b'`,
      `SELECT '1' <~> 'a'::text`,
      `SELECT replace('a'::folded, 'b', 'c')`,
      `SELECT true::folded`,
    ],
  },
  {
    name: 'functions of any row',
    setup: `CREATE FUNCTION of_any(anyelement) RETURNS int LANGUAGE sql AS 'SELECT mine(5)';`,
    steps: [
      'SELECT p.of_any FROM plain p',
      'SELECT s.of_any FROM (SELECT 1) s',
      'SELECT v.of_any FROM (VALUES (1)) v',
      'SELECT c.of_any FROM pg_catalog.pg_am c',
    ],
  },
  {
    name: "the server's own functions",
    setup: '',
    steps: [
      `SELECT set_config('mine.set', 'here', false)`,
      'SELECT pg_advisory_lock(42)',
      'SELECT pg_try_advisory_lock_shared(1, 2)',
      `SELECT pg_notify('mine', '')`,
      `SELECT nextval('trace')`,
      `SELECT setval('trace', 1000)`,
      'SELECT lo_create(0)',
      `SELECT lo_from_bytea(0, 'x')`,
      'SELECT txid_current()',
      'SELECT pg_current_xact_id()',
      `SELECT query_to_xml('SELECT mine(4)', true, true, '')`,
      `SELECT table_to_xml('calling', true, true, '')`,
      `SELECT schema_to_xml('other_schema', true, true, '')`,
      `SELECT * FROM ts_stat('SELECT to_tsvector(mine_text(''a''))')`,
      `SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, mine_text(''b'')::tsquery')`,
      `SELECT pg_input_is_valid('1', 'checked')`,
    ],
  },
];

/** What makes every text doubtful: each lies in a database of its own. */
export const DOUBTS: readonly Mine[] = [
  {
    name: 'operators',
    setup: `CREATE FUNCTION same(int, text) RETURNS bool LANGUAGE sql AS 'SELECT mine($1) = 1';
      CREATE FUNCTION negate(text) RETURNS text LANGUAGE sql AS 'SELECT mine_text($1)';
      CREATE OPERATOR = (LEFTARG = int, RIGHTARG = text, FUNCTION = same);
      CREATE OPERATOR - (RIGHTARG = text, FUNCTION = negate);`,
    steps: [
      `SELECT a FROM plain WHERE a = b`,
      'SELECT - b FROM plain',
      'SELECT CASE 1 WHEN b THEN 1 END FROM plain',
      'SELECT a OPERATOR(public.=) b FROM plain',
      'SELECT a IN (b) FROM plain',
      'SELECT a = ANY (ARRAY[b]) FROM plain',
      'SELECT NULLIF(a, b) FROM plain',
      'SELECT a IS DISTINCT FROM b FROM plain',
    ],
  },
  {
    name: 'casts',
    setup: `CREATE FUNCTION to_int(json) RETURNS int LANGUAGE sql AS 'SELECT mine(1)';
      CREATE FUNCTION to_flag(int) RETURNS bit LANGUAGE sql AS $$ SELECT mine($1)::bit $$;
      CREATE CAST (json AS int) WITH FUNCTION to_int AS IMPLICIT;`,
    steps: [
      `SELECT abs('1'::json)`,
      `SELECT a FROM plain WHERE a = '1'::json`,
      `SELECT '1'::json::int`,
    ],
  },
  {
    name: 'casts of rows',
    setup: `CREATE TABLE row_cast (a int); INSERT INTO row_cast VALUES (1);
      CREATE CAST (row_cast AS text) WITH INOUT AS IMPLICIT;`,
    steps: ['SELECT r.mine_text FROM row_cast r'],
  },
  {
    name: 'types named like built-in ones',
    setup: `CREATE DOMAIN public.date AS text CHECK (mine(1) = 1);
      ALTER DATABASE current SET search_path TO public, pg_catalog;`,
    steps: [`SELECT '2020-01-01'::date`, `SELECT date '2020-01-01'`],
  },
  {
    name: 'functions that the grammar spells',
    setup: `CREATE FUNCTION public.substring(text, text, int) RETURNS text LANGUAGE sql
        AS 'SELECT mine_text($1)';`,
    steps: [`SELECT substring('a', 'b', 3)`],
  },
];
