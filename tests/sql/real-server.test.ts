/**
 * What sql/ takes for given, held against a real server: keywords, built-in types and functions,
 * the values that SET gives, where strings end and what they mean.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { readTextEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import { FUNCTION_EFFECTS } from '@dbbouncer/data-plane/session/postgres/sql/functions.ts';
import { KEYWORDS } from '@dbbouncer/data-plane/session/postgres/sql/keywords.ts';
import { lex } from '@dbbouncer/data-plane/session/postgres/sql/lexer.ts';
import { stringValue } from '@dbbouncer/data-plane/session/postgres/sql/literals.ts';
import type { LexOptions, Token } from '@dbbouncer/data-plane/session/postgres/sql/tokens.ts';
import { BUILT_IN_TYPE_NAMES } from '@dbbouncer/data-plane/session/postgres/sql/types.ts';
import { readCorpus } from './corpus.ts';

let cluster: PostgresCluster;
let client: pg.Client;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: 'secret' });
  const { host, port, superuser: user, password } = cluster;
  client = new pg.Client({ host, port, user, password, database: 'postgres' });
  client.on('error', () => {});
  await client.connect();
});

after(async () => {
  await client.end();
  await cluster.remove();
});

async function rows<R extends pg.QueryResultRow>(sql: string): Promise<R[]> {
  return (await client.query<R>(sql)).rows;
}

describe('keywords and built-in types, held against the server', () => {
  const CLASSES: Readonly<Record<string, string>> = {
    R: 'reserved',
    T: 'function_or_type',
    C: 'column_name',
    U: 'unreserved',
  };

  it('has every keyword in the class that the server says', async () => {
    const listed = await rows<{ word: string; catcode: string }>(
      'SELECT word, catcode FROM pg_get_keywords() ORDER BY word COLLATE "C"',
    );
    const expected = listed.map(({ word, catcode }) => [word, CLASSES[catcode]]);
    assert.deepEqual(
      [...KEYWORDS].toSorted(([a], [b]) => (a < b ? -1 : 1)),
      expected,
    );
  });

  it('takes only base, range and pseudo types of pg_catalog for built in', async () => {
    const types = await rows<{ typname: string }>(
      `SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
        AND typtype IN ('b', 'r', 'm', 'p')`,
    );
    const known = new Set(types.map(({ typname }) => typname));
    assert.deepEqual(
      [...BUILT_IN_TYPE_NAMES].filter((name) => !known.has(name)),
      [],
    );
  });
});

/**
 * Functions that change a session, run SQL, or change what outlives the transaction; by what is
 * known of them.
 */
const NOT_STATE_FREE: readonly RegExp[] = [
  /^(?:lo_|loread|lowrite|dblink|pg_notify$|setseed$|pg_export_snapshot$)/,
  /^(?:nextval|setval|currval|lastval|set_config)$/,
  /^pg_(?:try_)?advisory_(?:lock|unlock)/,
  /^pg_replication_|^pg_(?:create|drop|copy|logical|sync)_|^pg_logical_/,
  /_to_xml(?:schema|_and_xmlschema)?$/,
  /^ts_(?:stat|rewrite|debug|parse)$/,
  /^pg_(?:reload_conf|rotate_logfile|switch_wal|promote|terminate_backend|cancel_backend)$/,
  /^pg_(?:backup|restore|clear|log|wal_replay|read|import|prewarm|stop|input|event_trigger)_/,
  /^pg_stat_(?:reset|clear|force)|^binary_upgrade_|^pg_ls_|^pg_nextoid$|^pg_extension_config_dump$/,
  /^jsonb?_to_record(?:set)?$/,
];

/**
 * Volatile only because their results change by themselves, or because of what they do within the
 * transaction.
 */
const VOLATILE_BUT_STATE_FREE =
  `array_sample array_shuffle clock_timestamp current_query gen_random_uuid pg_blocking_pids
  pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_size
  pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available
  pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
  pg_partition_ancestors pg_partition_tree pg_relation_size pg_safe_snapshot_blocking_pids
  pg_table_size pg_tablespace_size pg_total_relation_size random random_normal timeofday uuidv4
  uuidv7 pg_sleep pg_sleep_for pg_sleep_until pg_advisory_xact_lock pg_advisory_xact_lock_shared
  pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared bernoulli system`.split(/\s+/);

describe('the list of functions, held against the server', () => {
  const STATE_FREE: ReadonlySet<string> = new Set(['reads', 'reads_session', 'transactional']);
  const allowed = [...FUNCTION_EFFECTS].filter(([, effect]) => STATE_FREE.has(effect));

  it('has only names of pg_proc', async () => {
    const procs = await rows<{ proname: string }>(
      `SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace`,
    );
    const known = new Set(procs.map(({ proname }) => proname));
    assert.deepEqual(
      [...FUNCTION_EFFECTS.keys()].filter((name) => !known.has(name)),
      [],
    );
  });

  it('allows none that changes a session or runs SQL', () => {
    const wrong = allowed.filter(([name]) => NOT_STATE_FREE.some((pattern) => pattern.test(name)));
    assert.deepEqual(wrong, []);
  });

  it('allows a volatile one only by its name', async () => {
    const volatile = await rows<{ proname: string }>(
      `SELECT DISTINCT proname FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'`,
    );
    const changing = new Set(volatile.map(({ proname }) => proname));
    for (const name of VOLATILE_BUT_STATE_FREE) changing.delete(name);
    assert.deepEqual(
      allowed.filter(([name]) => changing.has(name)),
      [],
    );
  });

  it('allows none that is written in SQL or PL/pgSQL and calls one that is not', async () => {
    const bodies = await rows<{ proname: string; body: string }>(
      `SELECT p.proname, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) AS body
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND l.lanname IN ('sql', 'plpgsql')`,
    );
    const names = new Set(allowed.map(([name]) => name));
    const own = bodies.filter(({ proname }) => names.has(proname));
    assert.ok(own.length > 20, `only ${own.length} have a body`);
    const wrong = own.filter(({ body }) => {
      const query = body.replace(/^\s*RETURN\s+/i, 'SELECT ').replace(/^BEGIN ATOMIC|END$/g, '');
      return readTextEffects(query, { standardConformingStrings: true }).dirties;
    });
    assert.deepEqual(wrong, []);
  });
});

describe('values of SET, held against the server', () => {
  /** What a fresh server cannot do, or cannot show. */
  const NOT_TRIED = /^(?:role|session_authorization|seed|client_encoding)$/;

  const settings = readCorpus()
    .filter(({ file }) => file === 'settings')
    .flatMap(({ sql }) => {
      const effects = readTextEffects(sql, { standardConformingStrings: true });
      const change = effects.settings[0];
      if (effects.settings.length !== 1 || change?.kind !== 'set') return [];
      if (change.value === undefined || NOT_TRIED.test(change.name)) return [];
      return [{ sql, name: change.name, value: change.value }];
    });

  it('replays what 30 texts or more set, to the same value as the text itself', async () => {
    let compared = 0;
    for (const { sql, name, value } of settings) {
      const direct = await valueAfter(sql, name);
      if (direct === undefined) continue;
      const literal = pg.escapeLiteral(value);
      const replayed = await valueAfter(`SELECT set_config('${name}', ${literal}, false)`, name);
      assert.equal(replayed, direct, sql);
      compared++;
    }
    assert.ok(compared >= 30, `only ${compared} settings were compared`);
  });

  /** Undefined when the server refuses the statement. */
  async function valueAfter(sql: string, name: string): Promise<string | undefined> {
    await client.query('DISCARD ALL');
    try {
      await client.query(sql);
    } catch {
      return undefined;
    }
    const shown = await client.query({
      text: `SELECT current_setting(${pg.escapeLiteral(name)})`,
      rowMode: 'array',
    });
    return (shown.rows as unknown[][])[0]?.[0] as string;
  }
});

const STRING_PARTS = fc.constantFrom(
  ..."' '' \\ \\' -- - ; x 41 \\n \\101 \\x41 \\u0041 $$ $a$ E \" /* */ é".split(' '),
  ...'\n| | -- c\n'.split('|'),
);
const STRINGS = fc
  .tuple(
    fc.constantFrom("'", "E'", '$$', '$a$', "e'", ''),
    fc.array(STRING_PARTS, { maxLength: 6 }).map((list) => list.join('')),
    fc.constantFrom("'", '$$', '$a$', ''),
  )
  .map((list) => list.join(''));

/** What the library's parser sees differently, since it makes tokens of comments. */
const STRINGS_WITH_COMMENTS = [
  "'one'\n-- between\n'two'",
  "E'a' -- c\n  'b\\'c'",
  "'a' /* \n */ 'b'",
  "U&'\\0041' /* c */ UESCAPE -- d\n '\\'",
];

describe('words that follow a number or a parameter at once, held against the server', () => {
  for (const sql of ['SELECT $1a', 'SELECT $11_0', 'SELECT 1a', 'SELECT 0x', 'SELECT 1_']) {
    it(`refuses ${sql}, as it does`, async () => {
      assert.equal(lex(sql, { standardConformingStrings: true }).kind, 'unparsable');
      await assert.rejects(client.query(sql), { code: '42601' });
    });
  }
});

describe('strings, held against the server', () => {
  for (const setting of ['on', 'off'] as const) {
    it(`end and mean what it says with standard_conforming_strings ${setting}`, async () => {
      await client.query('DISCARD ALL');
      await client.query(`SET standard_conforming_strings = ${setting}`);
      await client.query('SET backslash_quote = on');
      let compared = 0;
      const compare = async (literal: string): Promise<void> => {
        const sql = `SELECT ${literal}\nAS "v"`;
        const value = await selected(sql);
        if (value === undefined) return;
        compared++;
        assertMeans(sql, value, { standardConformingStrings: setting === 'on' });
      };
      for (const literal of STRINGS_WITH_COMMENTS) await compare(literal);
      await fc.assert(fc.asyncProperty(STRINGS, compare), { numRuns: 1200 });
      assert.ok(compared > 100, `only ${compared} literals were valid`);
    });
  }

  function assertMeans(sql: string, value: string, options: LexOptions): void {
    const lexed = lex(sql, options);
    const tokens = lexed.kind === 'tokens' ? lexed.tokens : [];
    const kinds = tokens.map(({ kind }) => kind).join(' ');
    if (kinds === 'word bits word quoted') return;
    assert.equal(kinds, 'word string word quoted', sql);
    const read = stringValue(sql, tokens[1] as Token, options);
    if (read !== undefined) assert.equal(read, value, sql);
  }

  /** The one value of a query, or undefined when the server refuses it or finds more than one. */
  async function selected(sql: string): Promise<string | undefined> {
    try {
      const result = await client.query({ text: sql, rowMode: 'array' });
      if (Array.isArray(result)) return undefined;
      const row = (result.rows as unknown[][])[0];
      return row?.length === 1 && typeof row[0] === 'string' ? row[0] : undefined;
    } catch {
      return undefined;
    }
  }
});
