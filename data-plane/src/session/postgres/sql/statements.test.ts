/** Every kind of statement, read from its text; and that no text takes long or throws. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { recogniseStatements } from './statements.ts';
import type { Statement } from './statement.ts';

const OPTIONS = { standardConformingStrings: true };

function statementsOf(sql: string): readonly Statement[] {
  const recognised = recogniseStatements(sql, OPTIONS);
  assert.equal(recognised.kind, 'statements', sql);
  return recognised.kind === 'statements' ? recognised.statements : [];
}

function session(name: string, value: string | undefined): Statement {
  return { kind: 'set', scope: 'session', settings: [{ name, value }] };
}

function local(name: string, value: string | undefined): Statement {
  return { kind: 'set', scope: 'local', settings: [{ name, value }] };
}

const WORDS = `
  select from with as ( ) , ; set local session to = default time zone begin atomic end create temp
  table function explain analyze prepare execute declare cursor for with hold copy stdin where a
  "b" 'c' 1 . :: * into join using on cast values insert update returning case when then group by
  recursive discard all`;

describe('recogniseStatements', () => {
  const table: readonly (readonly [sql: string, statement: Statement])[] = [
    ['', { kind: 'empty' }],
    [' ;; -- x', { kind: 'empty' }],
    ['BEGIN', { kind: 'begin' }],
    [
      'start transaction isolation level repeatable read, read only not deferrable',
      {
        kind: 'begin',
        isolation: 'repeatable_read',
        access: 'read_only',
        deferrable: 'not_deferrable',
      },
    ],
    ['BEGIN READ ONLY, READ WRITE', { kind: 'begin', access: 'read_write' }],
    ['BEGIN READ ONLY,', { kind: 'unknown' }],
    ['BEGIN x', { kind: 'unknown' }],
    ['BEGIN; x'.slice(0, 6), { kind: 'begin' }],
    ['START', { kind: 'unknown' }],
    ['END AND CHAIN', { kind: 'commit', chain: 'chain' }],
    ['COMMIT AND NO CHAIN', { kind: 'commit', chain: 'no_chain' }],
    ['COMMIT x', { kind: 'unknown' }],
    ["COMMIT PREPARED 'x'", { kind: 'commit_prepared' }],
    ['ABORT WORK', { kind: 'rollback', chain: 'no_chain' }],
    ['ROLLBACK TO "A b"', { kind: 'rollback_to', name: 'A b' }],
    ['ABORT TO x', { kind: 'unknown' }],
    ['RELEASE SAVEPOINT Sp', { kind: 'release', name: 'sp' }],
    ['RELEASE savepoint', { kind: 'release', name: 'savepoint' }],
    ["PREPARE TRANSACTION 'x'", { kind: 'prepare_transaction' }],
    ['SET a TO b', session('a', 'b')],
    [
      'SET search_path = "$user", \'a b\', plain, "select"',
      session('search_path', '"$user", "a b", plain, "select"'),
    ],
    ["SET SCHEMA 'x'", session('search_path', 'x')],
    ['SET LOCAL Work_Mem = 65536', local('work_mem', '65536')],
    ['SET "Work_Mem" TO DEFAULT', session('work_mem', undefined)],
    ['SET sort_mem = 1', session('work_mem', '1')],
    ['SET a.b = -1.50, +2, x', session('a.b', '-1.50, 2, x')],
    ['SET a = 0x10', { kind: 'set_unparsable', scope: 'session', name: 'a' }],
    ['SET a', { kind: 'set_unparsable', scope: 'session', name: undefined }],
    ['SET a = b c', { kind: 'set_unparsable', scope: 'session', name: 'a' }],
    ['SET a = (1)', { kind: 'set_unparsable', scope: 'session', name: 'a' }],
    ['SET a = "\ufffd"', { kind: 'set_unparsable', scope: 'session', name: 'a' }],
    ['SET LOCAL a FROM CURRENT', { kind: 'set_unparsable', scope: 'local', name: undefined }],
    ['SET TIME ZONE LOCAL', session('timezone', undefined)],
    ['SET TIME ZONE -3', session('timezone', '-3')],
    ['SET NAMES', session('client_encoding', undefined)],
    ["SET NAMES 'LATIN1'", session('client_encoding', 'LATIN1')],
    ['SET ROLE none', session('role', 'none')],
    ['SET SESSION AUTHORIZATION Bob', session('session_authorization', 'bob')],
    ['SET LOCAL SESSION AUTHORIZATION DEFAULT', local('session_authorization', undefined)],
    ['SET XML OPTION DOCUMENT', session('xmloption', 'document')],
    ['SET transaction_read_only = on', local('transaction_read_only', 'on')],
    ['SET TRANSACTION READ ONLY', { kind: 'set_transaction', access: 'read_only' }],
    ['SET CONSTRAINTS ALL IMMEDIATE', { kind: 'set_constraints' }],
    [
      'SET SESSION CHARACTERISTICS AS TRANSACTION ' +
        'ISOLATION LEVEL READ COMMITTED, READ WRITE, DEFERRABLE',
      {
        kind: 'set',
        scope: 'session',
        settings: [
          { name: 'default_transaction_isolation', value: 'read committed' },
          { name: 'default_transaction_read_only', value: 'off' },
          { name: 'default_transaction_deferrable', value: 'on' },
        ],
      },
    ],
    ['RESET ALL', { kind: 'reset_all' }],
    ['RESET "Role"', { kind: 'reset', name: 'role' }],
    ['RESET TIME ZONE', { kind: 'reset', name: 'timezone' }],
    ['RESET a b', { kind: 'unknown' }],
    ['SHOW TRANSACTION ISOLATION LEVEL', { kind: 'show', name: 'transaction_isolation' }],
    ['SHOW ALL', { kind: 'show', name: 'all' }],
    ['DISCARD TEMPORARY', { kind: 'discard', what: 'temp' }],
    ['DISCARD x', { kind: 'unknown' }],
    ['DEALLOCATE PREPARE ALL', { kind: 'deallocate', target: 'every' }],
    ['DEALLOCATE "All"', { kind: 'deallocate', target: { name: 'All' } }],
    ['DEALLOCATE prepare', { kind: 'deallocate', target: { name: 'prepare' } }],
    ['EXECUTE p (1)', { kind: 'execute', name: 'p' }],
    ['LISTEN Ch', { kind: 'listen', channel: 'ch' }],
    ['UNLISTEN *', { kind: 'unlisten', target: 'every' }],
    ["NOTIFY c, 'x'", { kind: 'notify', channel: 'c' }],
    ['NOTIFY c,', { kind: 'unknown' }],
    ['CLOSE ALL', { kind: 'close', target: 'every' }],
    ["LOAD 'x'", { kind: 'load' }],
    ['CREATE ROLE x', { kind: 'ddl', verb: 'create', object: 'role' }],
    ['DROP TABLE x', { kind: 'ddl', verb: 'drop', object: 'table' }],
    ['ANALYSE', { kind: 'maintenance', verb: 'analyze' }],
    ['CREATE TEMP TABLE x ()', { kind: 'create_temp', lifetime: 'session', source: 'nothing' }],
    [
      'CREATE TEMP TABLE x () ON COMMIT DROP',
      { kind: 'create_temp', lifetime: 'transaction', source: 'nothing' },
    ],
    [
      'CREATE TEMP TABLE x ON COMMIT DELETE ROWS AS EXECUTE p',
      { kind: 'create_temp', lifetime: 'session', source: 'execute' },
    ],
    [
      'CREATE VIEW "pg_temp".x AS SELECT 1',
      { kind: 'create_temp', lifetime: 'session', source: 'nothing' },
    ],
    ['SELEC 1', { kind: 'unknown' }],
    ['"select" 1', { kind: 'unknown' }],
    ['EXPLAIN EXPLAIN SELECT 1', { kind: 'unknown' }],
    ['PREPARE p AS PREPARE q AS SELECT 1', { kind: 'unknown' }],
    ['COPY t FROM', { kind: 'unknown' }],
    ['START_REPLICATION SLOT x LOGICAL 0/0', { kind: 'unknown' }],
  ];
  for (const [sql, statement] of table) {
    it(`reads ${JSON.stringify(sql)}`, () => assert.deepEqual(statementsOf(sql), [statement]));
  }

  it('splits at semicolons outside of parentheses and routine bodies only', () => {
    const kinds = (sql: string): string[] => statementsOf(sql).map(({ kind }) => kind);
    assert.deepEqual(kinds('BEGIN; SELECT 1;; COMMIT;'), ['begin', 'read', 'commit']);
    assert.deepEqual(kinds('CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); END'), [
      'ddl',
      'commit',
    ]);
    const body = 'BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; SELECT x.end AS end FROM x; END';
    assert.deepEqual(kinds(`CREATE FUNCTION f() RETURNS int ${body}; LISTEN x`), ['ddl', 'listen']);
    assert.deepEqual(kinds('CREATE TABLE "function" (begin int); LISTEN x'), ['ddl', 'listen']);
  });

  for (const sql of [
    'SELECT (1',
    'SELECT 1)',
    'SELECT (1; SELECT 2',
    ')(',
    'CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;',
  ]) {
    it(`finds no statements in ${JSON.stringify(sql)}`, () => {
      const fault = { kind: 'unparsable', fault: 'unbalanced_parentheses' };
      assert.deepEqual(recogniseStatements(sql, OPTIONS), fault);
    });
  }

  it('does not throw on any sequence of words', () => {
    const words = fc.constantFrom(...WORDS.trim().split(/\s+/));
    fc.assert(
      fc.property(fc.array(words, { maxLength: 25 }), (parts) => {
        const recognised = recogniseStatements(parts.join(' '), OPTIONS);
        if (recognised.kind === 'statements') assert.ok(recognised.statements.length > 0);
      }),
      { numRuns: 10_000 },
    );
  });

  const heavy: readonly (readonly [what: string, sql: string])[] = [
    ['parentheses', nested('(', 60_000, '1', ')')],
    ['calls', nested('f(', 60_000, '1', ')')],
    [
      'relations under parentheses',
      nested('(', 60_000, `SELECT 1 FROM a${',a'.repeat(60_000)}`, ')'),
    ],
    ['WITH in WITH', nested('WITH a AS (', 40_000, 'SELECT 1', ') SELECT 1')],
    [
      'CTEs and their uses',
      `WITH ${many(20_000, (i) => `c${i} AS (SELECT 1)`)}
       SELECT 1 FROM ${many(20_000, (i) => `c${i}`)}`,
    ],
    ['EXPLAIN of EXPLAIN', 'EXPLAIN '.repeat(60_000)],
    ['CASE in CASE', nested('CASE ', 60_000, '1', ' END')],
    ['parts of a name', `SELECT ${'a.'.repeat(60_000)}a`],
    ['operators named in parentheses', 'SELECT 1 '.concat('OPERATOR(a.'.repeat(40_000))],
    ['statements', ';SET a = 1'.repeat(40_000)],
    ['items of a SET', `SET a = 1${', b'.repeat(60_000)}`],
  ];
  for (const [what, sql] of heavy) {
    it(`takes less than 2 s of CPU for many ${what}`, () => {
      const before = process.cpuUsage();
      recogniseStatements(sql, OPTIONS);
      const cpuMs = process.cpuUsage(before).user / 1000;
      assert.ok(cpuMs < 2000, `${cpuMs} ms`);
    });
  }
});

function nested(open: string, count: number, inside: string, close: string): string {
  return `SELECT ${open.repeat(count)}${inside}${close.repeat(count)}`;
}

function many(count: number, item: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => item(i)).join(', ');
}
