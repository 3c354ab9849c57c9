/** What each kind of text is said to do to its session. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readTextEffects, textEffects } from './effects.ts';
import type { Cleanliness, PinReason, SettingChange, TextEffects } from './effects.ts';

const OPTIONS = { standardConformingStrings: true };

function effectsOf(sql: string): TextEffects {
  return readTextEffects(sql, OPTIONS);
}

describe('readTextEffects', () => {
  type Row = readonly [sql: string, pin: PinReason | undefined, cleanliness: Cleanliness];
  const table: readonly Row[] = [
    ['', undefined, 'clean'],
    ['SELECT 1', undefined, 'clean'],
    ['SELECT lower(a), count(*), "pg_catalog".now() FROM (VALUES (1)) v (a)', undefined, 'clean'],
    ['SELECT * FROM pg_catalog.pg_class', undefined, 'clean'],
    ['SELECT * FROM t', undefined, 'catalog_dependent'],
    ["SELECT 'x'::my_domain", undefined, 'catalog_dependent'],
    ['SELECT my_function()', undefined, 'dirty'],
    ['SELECT public.lower(a)', undefined, 'dirty'],
    ['SELECT "Lower"(a)', undefined, 'dirty'],
    ['SELECT U&"\\006dy_function"()', undefined, 'dirty'],
    ['SELECT pg_sleep(1), pg_advisory_xact_lock(2)', undefined, 'clean'],
    ['SELECT pg_advisory_lock(1)', 'advisory_lock', 'dirty'],
    ['SELECT pg_catalog.pg_try_advisory_lock_shared(1, 2)', 'advisory_lock', 'dirty'],
    ['SELECT pg_advisory_unlock(1)', undefined, 'dirty'],
    ["SELECT nextval('s')", undefined, 'dirty'],
    ["SELECT query_to_xml('select f()', true, true, '')", undefined, 'dirty'],
    ["SELECT set_config('a.b', 'c', true)", undefined, 'clean'],
    ["SELECT set_config('a.b', 'c', is_local => true)", undefined, 'clean'],
    ["SELECT set_config('a.b', 'c', false)", undefined, 'clean'],
    ["SELECT set_config('a.b', 'c', x OR true)", undefined, 'clean'],
    ["SELECT set_config('a.' || 'b', 'c', false)", 'set_unparsable', 'dirty'],
    ["SELECT set_config('seed', '0.1', false)", 'random_seed', 'dirty'],
    ['SELECT setseed(0.5)', 'random_seed', 'dirty'],
    ["SELECT set_config('a', 'b', true), set_config('c', 'd', $1)", undefined, 'clean'],
    ["SELECT set_config('a', 'b', false), set_config($1, 'd', $1)", 'set_unparsable', 'dirty'],
    ['INSERT INTO t VALUES (1)', undefined, 'catalog_dependent'],
    ['UPDATE t SET a = f(b)', undefined, 'dirty'],
    ["UPDATE pg_settings SET setting = 'x'", 'set_unparsable', 'dirty'],
    ['TRUNCATE t', undefined, 'catalog_dependent'],
    ['SELECT * FROM t FOR UPDATE', undefined, 'catalog_dependent'],
    ['BEGIN', undefined, 'clean'],
    ['COMMIT', undefined, 'clean'],
    ['SAVEPOINT a', undefined, 'clean'],
    ['SET TRANSACTION READ ONLY', undefined, 'clean'],
    ['SET LOCAL a.b = 1', undefined, 'clean'],
    ['SET LOCAL a.b FROM CURRENT', undefined, 'clean'],
    ['SET a.b = 1', undefined, 'clean'],
    ['SET a.b TO DEFAULT', undefined, 'clean'],
    ['SET a.b FROM CURRENT', 'set_unparsable', 'dirty'],
    ['SET seed = 0.5', 'random_seed', 'dirty'],
    ['SET ROLE x', undefined, 'clean'],
    ['SET SESSION AUTHORIZATION x', 'session_authorization', 'clean'],
    ['SET SESSION AUTHORIZATION DEFAULT', undefined, 'clean'],
    ['SET search_path = a, pg_temp', 'temp_object', 'clean'],
    ['SET search_path = "pg_temp_7"', 'temp_object', 'clean'],
    ['SET search_path = pg_temporary', undefined, 'clean'],
    ['RESET ALL', undefined, 'clean'],
    ['RESET work_mem', undefined, 'clean'],
    ['DISCARD ALL', undefined, 'clean'],
    ['DISCARD PLANS', undefined, 'clean'],
    ['SHOW ALL', undefined, 'clean'],
    ['CREATE TABLE t (a int DEFAULT f())', undefined, 'catalog_dependent'],
    ['CREATE TABLE t AS SELECT f()', undefined, 'dirty'],
    ['CREATE TABLE t AS EXECUTE p', undefined, 'dirty'],
    ['SELECT 1 INTO t', undefined, 'catalog_dependent'],
    ['CREATE TEMP TABLE t ()', 'temp_object', 'catalog_dependent'],
    ['CREATE TEMP TABLE t () ON COMMIT DROP', undefined, 'catalog_dependent'],
    ['SELECT 1 INTO TEMP t', 'temp_object', 'catalog_dependent'],
    ['CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1', 'temp_object', 'catalog_dependent'],
    ['CREATE EXTENSION x', undefined, 'dirty'],
    ['VACUUM t', undefined, 'catalog_dependent'],
    ['CHECKPOINT', undefined, 'clean'],
    ['DECLARE c CURSOR FOR SELECT 1', undefined, 'clean'],
    ['DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'hold_cursor', 'clean'],
    ['FETCH c', undefined, 'clean'],
    ['PREPARE p AS SELECT 1', 'sql_prepare', 'clean'],
    ['EXECUTE p', undefined, 'dirty'],
    ['DEALLOCATE p', undefined, 'clean'],
    ['LISTEN c', undefined, 'clean'],
    ['UNLISTEN c', undefined, 'clean'],
    ['NOTIFY c', undefined, 'clean'],
    ["LOAD 'x'", 'load', 'dirty'],
    ["DO 'BEGIN END'", undefined, 'dirty'],
    ['CALL p()', undefined, 'dirty'],
    ['COPY t FROM STDIN', undefined, 'catalog_dependent'],
    ['COPY (SELECT f()) TO STDOUT', undefined, 'dirty'],
    ['EXPLAIN SELECT pg_advisory_lock(1)', undefined, 'dirty'],
    ['EXPLAIN ANALYZE SELECT pg_advisory_lock(1)', 'advisory_lock', 'dirty'],
    ['EXPLAIN (ANALYZE) CREATE TEMP TABLE x AS SELECT 1', 'temp_object', 'catalog_dependent'],
    ['LOCK TABLE t', undefined, 'clean'],
    ['SELEC 1', 'unparsable', 'dirty'],
    ["SELECT 'x", 'unparsable', 'dirty'],
    ['SELECT (1', 'unparsable', 'dirty'],
    ['SELECT 1; SELECT 2', undefined, 'dirty'],
    ['BEGIN; SET LOCAL a.b = 1; COMMIT', undefined, 'dirty'],
  ];
  for (const [sql, pin, cleanliness] of table) {
    it(`says ${pin ?? 'no pin'}, ${cleanliness} of ${JSON.stringify(sql)}`, () => {
      const effects = effectsOf(sql);
      assert.deepEqual(
        { pin: effects.pin, cleanliness: effects.cleanliness },
        { pin, cleanliness },
      );
      assert.equal(effects.dirties, cleanliness === 'dirty');
    });
  }

  const changes: readonly (readonly [sql: string, settings: readonly SettingChange[]])[] = [
    ['SET a.b = 1', [{ kind: 'set', name: 'a.b', value: '1' }]],
    ['SET LOCAL a.b = 1', []],
    ['RESET a.b', [{ kind: 'set', name: 'a.b', value: undefined }]],
    [
      'SET a.b = 1; RESET ALL; DISCARD ALL',
      [{ kind: 'set', name: 'a.b', value: '1' }, { kind: 'reset_all' }, { kind: 'discard_all' }],
    ],
  ];
  for (const [sql, settings] of changes) {
    it(`lists the settings that ${JSON.stringify(sql)} changes`, () => {
      assert.deepEqual(effectsOf(sql).settings, settings);
    });
  }

  const transactions: readonly (readonly [string, TextEffects['transactionAfter']])[] = [
    ['SELECT 1', 'unchanged'],
    ['BEGIN', 'open'],
    ['BEGIN; SELECT 1', 'open'],
    ['BEGIN; COMMIT', 'idle'],
    ['COMMIT; BEGIN', 'open'],
    ['ROLLBACK AND CHAIN', 'open'],
    ['ROLLBACK TO a', 'unchanged'],
    ["PREPARE TRANSACTION 'x'", 'idle'],
    ['SELEC', 'unknown'],
    ["'", 'unknown'],
  ];
  for (const [sql, after] of transactions) {
    it(`leaves the transaction ${after} after ${JSON.stringify(sql)}`, () => {
      assert.equal(effectsOf(sql).transactionAfter, after);
    });
  }

  it('finds candidates for sharing only in one read that calls what reads', () => {
    const candidates = [
      'SELECT 1',
      'TABLE t',
      'VALUES (1)',
      'WITH a AS (SELECT 1) SELECT upper(x) FROM a',
    ];
    for (const sql of candidates) assert.equal(effectsOf(sql).sharing, 'candidate', sql);
  });

  const refused: readonly (readonly [sql: string, why: string])[] = [
    ['SELECT f()', 'unknown_function'],
    ['SELECT a OPERATOR(public.=) b FROM t', 'unknown_function'],
    ['SELECT pg_catalog.lo_creat(1)', 'unknown_function'],
    ['SELECT upper(a), pg_sleep(1)', 'effectful_function'],
    ['SELECT txid_current()', 'effectful_function'],
    ["SELECT nextval('s')", 'effectful_function'],
    ["SELECT set_config('a','b',true)", 'effectful_function'],
    ['SELECT pg_backend_pid()', 'session_function'],
    ["SELECT current_setting('application_name')", 'session_function'],
    ['SELECT 1; SELECT 2', 'several_statements'],
    [';', 'several_statements'],
    ['SELECT 1 FOR UPDATE', 'locks_rows'],
    ['SELECT 1 FOR KEY SHARE', 'locks_rows'],
    ['SELECT 1 INTO t', 'into'],
    ['SELECT 1 INTO TEMP t', 'into'],
    ['WITH a AS (DELETE FROM t RETURNING 1) SELECT 1', 'writes'],
    ['BEGIN', 'not_a_read'],
    ['EXPLAIN SELECT 1', 'not_a_read'],
    ['SHOW ALL', 'not_a_read'],
    ["SELECT 'a", 'unparsable'],
    ['SELECT (1', 'unparsable'],
    ['NONSENSE', 'unparsable'],
    [`SELECT ${' '.repeat(1024 * 1024)}1`, 'too_long'],
  ];
  for (const [sql, why] of refused) {
    it(`refuses to share ${JSON.stringify(sql.slice(0, 50))}: ${why}`, () => {
      assert.equal(effectsOf(sql).sharing, why);
    });
  }

  it('lists relations, functions and types as written, of all statements', () => {
    const { relations, functions, types } = effectsOf(
      'WITH c AS (SELECT * FROM S."T") SELECT f(a::d), pg_catalog.now() FROM c, u; DELETE FROM x',
    );
    assert.deepEqual(relations, [['s', 'T'], ['u'], ['x']]);
    assert.deepEqual(functions, [['f'], ['pg_catalog', 'now']]);
    assert.deepEqual(types, [['d']]);
  });

  it('reads a backslash as standard_conforming_strings says', () => {
    const sql = String.raw`SELECT '\', set_config($1, $2, false) --'`;
    assert.equal(readTextEffects(sql, { standardConformingStrings: true }).pin, 'set_unparsable');
    assert.equal(readTextEffects(sql, { standardConformingStrings: false }).pin, undefined);
  });
});

describe('textEffects', () => {
  it('gives the same object for a text seen before, apart for each setting of the strings', () => {
    const sql = "SELECT 'seen before'";
    const first = textEffects(sql, OPTIONS);
    assert.equal(textEffects(`${sql} `.trimEnd(), { ...OPTIONS }), first);
    assert.notEqual(textEffects(sql, { standardConformingStrings: false }), first);
    assert.ok(Object.isFrozen(first));
  });

  it('is the same object for texts that differ in literals alone', () => {
    const one = textEffects("SELECT a FROM b WHERE c = 1 AND d = 'x'", OPTIONS);
    assert.equal(textEffects("SELECT a FROM b WHERE c = 22 AND d = 'y''z'", OPTIONS), one);
  });

  it('knows the literals of what is set', () => {
    for (const value of ['1', '2']) {
      const { settings } = textEffects(`SET work_mem = ${value}`, OPTIONS);
      assert.match(JSON.stringify(settings), new RegExp(`"${value}"`));
      const called = textEffects(`SELECT set_config('a.b', '${value}', false)`, OPTIONS);
      assert.equal(called.literals, 'matter');
    }
  });

  it('keeps no text of more than 8192 characters', () => {
    const long = `SELECT ${'x'.repeat(8192)}`;
    assert.notEqual(textEffects(long, OPTIONS), textEffects(long, OPTIONS));
  });
});
