/**
 * Prepared statements in transaction mode: a client's statements work on whichever server
 * connection it gets, and a client with them cannot be told from one on a private connection.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import {
  bind,
  close,
  describe as describeMessage,
  execute,
  fields,
  firstColumns,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'prepared secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  await cluster.sql('acme', 'CREATE TABLE t (a int, b text)');
  const pool = { poolMode: 'transaction', maxConnections: 3, minConnections: 0 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'acme', ...tenant }] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = () => RawClient.login(proxy, login);
const run = (statement: string, values: string[] = []) =>
  Buffer.concat([bind(values, statement), execute(), sync()]);

async function ask(client: RawClient, ...messages: Buffer[]): Promise<RawMessage[]> {
  client.send(Buffer.concat(messages));
  return client.until('Z');
}

const types = (messages: readonly RawMessage[]) => messages.map(({ type }) => type).join('');
const codes = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'E').map((message) => fields(message)['C']);

/** Keeps server connections busy, so that the next client gets another one. */
async function occupy(count: number): Promise<() => Promise<void>> {
  const holders = await Promise.all(Array.from({ length: count }, connect));
  for (const holder of holders) await ask(holder, query('BEGIN; SELECT 1'));
  return async () => {
    for (const holder of holders) {
      await ask(holder, query('COMMIT'));
      holder.end();
    }
  };
}

describe('a named statement', () => {
  it('is run on three different server connections, parsed once by the client', async () => {
    const client = await connect();
    await ask(client, parse('SELECT pg_backend_pid()', 'where'), sync());
    const pids = new Set<string>();
    // Which connection is free is for the pool to say: ask until each has been.
    for (let round = 0; pids.size < 3 && round < 60; round++) {
      const release = await occupy(round % 3);
      const messages = await ask(client, run('where'));
      assert.equal(types(messages), '2DCZ');
      pids.add(firstColumns(messages)[0] ?? '');
      await release();
    }
    assert.equal(pids.size, 3);
    client.end();
  });

  it('is answered with ParseComplete in its turn when the server has it already', async () => {
    const [first, second] = [await connect(), await connect()];
    const batch = [parse('SELECT 1', 's'), bind([], 's'), execute(), sync()];
    assert.equal(types(await ask(first, ...batch)), '12DCZ');
    const pipelined = [query('SELECT 2'), ...batch, close('S', 's'), ...batch];
    second.send(Buffer.concat(pipelined));
    assert.equal(types(await second.until('Z')), 'TDCZ');
    assert.equal(types(await second.until('Z')), '12DCZ');
    assert.equal(types(await second.until('Z')), '312DCZ');
    first.end();
    second.end();
  });

  it('that failed to parse is not there, and its name can be used again', async () => {
    const client = await connect();
    assert.deepEqual(codes(await ask(client, parse('SELEC 1', 'x'), sync())), ['42601']);
    assert.deepEqual(codes(await ask(client, run('x'))), ['26000']);
    assert.equal(types(await ask(client, parse('SELECT 1', 'x'), run('x'))), '12DCZ');
    client.end();
  });

  it('cannot be prepared twice under one name, as on a private connection', async () => {
    const client = await connect();
    await ask(client, parse('SELECT 1', 'twice'), sync());
    const messages = await ask(client, parse('SELECT 2', 'twice'), run('twice'));
    assert.deepEqual(codes(messages), ['42P05']);
    assert.match(messages[0]?.body.toString() ?? '', /prepared statement "twice" already exists/);
    assert.deepEqual(firstColumns(await ask(client, run('twice'))), ['1']);
    client.end();
  });

  it('behind an error in a pipeline does not exist afterwards', async () => {
    const client = await connect();
    const messages = await ask(
      client,
      parse('SELECT 1', 'before'),
      parse('SELECT 1/0', 'fails'),
      bind([], 'fails'),
      execute(),
      parse('SELECT 3', 'behind'),
      sync(),
    );
    assert.deepEqual(codes(messages), ['22012']);
    assert.deepEqual(firstColumns(await ask(client, run('before'))), ['1']);
    assert.deepEqual(codes(await ask(client, run('behind'))), ['26000']);
    assert.equal(types(await ask(client, parse('SELECT 4', 'behind'), run('behind'))), '12DCZ');
    client.end();
  });

  it('is kept apart from one with the same text and other parameter types', async () => {
    const client = await connect();
    const typed = (oid: number, name: string) => parse('SELECT pg_typeof($1)::text', name, [oid]);
    await ask(client, typed(23, 'as_int'), typed(25, 'as_text'), sync());
    assert.deepEqual(firstColumns(await ask(client, run('as_int', ['7']))), ['integer']);
    assert.deepEqual(firstColumns(await ask(client, run('as_text', ['7']))), ['text']);
    client.end();
  });

  it('is not reached by another client under its shared name', async () => {
    const [owner, thief] = [await connect(), await connect()];
    await ask(owner, parse(`SELECT 'secret'`, 'mine'), run('mine'));
    const known = await cluster.sql('acme', 'SELECT 1');
    assert.equal(known.length, 1);
    for (let number = 1; number <= 60; number++) {
      const name = `dbb_ps_${number.toString(36)}`;
      assert.deepEqual(codes(await ask(thief, run(name))), ['26000']);
    }
    owner.end();
    thief.end();
  });

  it('that a failed transaction refuses to parse again is there as before', async () => {
    const client = await connect();
    // From here on it has one server connection to itself.
    await ask(client, query('CREATE TEMPORARY TABLE mine ()'));
    await ask(client, parse('SELECT 12', 'first'), sync());
    await ask(client, query('BEGIN'));
    await ask(client, query('SELECT 1/0'));
    assert.deepEqual(codes(await ask(client, parse('SELECT 12', 'second'), sync())), ['25P02']);
    await ask(client, query('ROLLBACK'));
    assert.equal(types(await ask(client, run('first'))), '2DCZ');
    client.end();
  });

  it('that is ROLLBACK, and there already, ends a failed transaction', async () => {
    const client = await connect();
    for (const name of ['first', 'second']) {
      await ask(client, query('BEGIN'));
      assert.deepEqual(codes(await ask(client, query('SELECT 1/0'))), ['22012']);
      assert.equal(types(await ask(client, parse('ROLLBACK', name), run(name))), '12CZ');
    }
    client.end();
  });

  it('whose result has changed is refused once with 0A000, and is another then', async () => {
    const client = await connect();
    await cluster.sql('acme', 'CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)');
    // From here on it has one server connection to itself.
    await ask(client, query('CREATE TEMPORARY TABLE mine ()'));
    await ask(client, parse('SELECT * FROM changing', 'c'), run('c'));
    await cluster.sql('acme', 'ALTER TABLE changing ADD b text');
    assert.deepEqual(codes(await ask(client, run('c'))), ['0A000']);
    assert.equal(types(await ask(client, close('S', 'c'), sync())), '3Z');
    const again = [parse('SELECT * FROM changing', 'c'), describeMessage('S', 'c'), run('c')];
    assert.equal(types(await ask(client, ...again)), '1tT2DCZ');
    client.end();
  });

  it('counts among 500 of one client on connections that hold 200 each', async () => {
    const client = await connect();
    for (let i = 0; i < 500; i++) await ask(client, parse(`SELECT ${i}`, `many${i}`), sync());
    for (const i of [0, 499, 250, 1, 499]) {
      assert.deepEqual(firstColumns(await ask(client, run(`many${i}`))), [String(i)]);
    }
    const [row] = await firstRow(client, 'SELECT count(*) FROM pg_prepared_statements');
    assert.ok(Number(row) <= 200, `${row} statements on one server connection`);
    client.end();
  });

  it('beyond the 5,000th of one client is refused with 53400 and both numbers', async () => {
    const client = await connect();
    const definitions = Array.from({ length: 5_000 }, (_, i) => parse('SELECT 1', `same${i}`));
    await ask(client, ...definitions, sync());
    const messages = await ask(client, parse('SELECT 1', 'one_more'), sync());
    assert.deepEqual(codes(messages), ['53400']);
    assert.match(messages[0]?.body.toString() ?? '', /5000 prepared statements.*\(5000\)/);
    client.end();
  });
});

async function firstRow(client: RawClient, sql: string): Promise<string[]> {
  return firstColumns(await ask(client, query(sql)));
}

describe('giving statements up', () => {
  it('by DEALLOCATE as SQL ends a statement that was prepared by protocol', async () => {
    const client = await connect();
    await ask(client, parse('SELECT 1', 'pdo_stmt_1'), sync());
    const release = await occupy(2);
    assert.equal(types(await ask(client, query('DEALLOCATE pdo_stmt_1'))), 'CZ');
    await release();
    assert.deepEqual(codes(await ask(client, run('pdo_stmt_1'))), ['26000']);
    assert.deepEqual(codes(await ask(client, query('DEALLOCATE pdo_stmt_1'))), ['26000']);
    client.end();
  });

  it('by DEALLOCATE ALL in a pipeline spares the statement that is parsed behind it', async () => {
    const client = await connect();
    await ask(client, parse('SELECT 1', 'old'), sync());
    client.send(
      Buffer.concat([query('DEALLOCATE ALL'), parse('SELECT 2', 'new'), sync(), run('new')]),
    );
    assert.equal(types(await client.until('Z')), 'CZ');
    assert.equal(types(await client.until('Z')), '1Z');
    assert.deepEqual(firstColumns(await client.until('Z')), ['2']);
    assert.deepEqual(codes(await ask(client, run('old'))), ['26000']);
    client.end();
  });

  it('by DEALLOCATE ALL that fails in an aborted transaction gives up nothing', async () => {
    const client = await connect();
    await ask(client, parse('SELECT 1', 'kept'), sync());
    await ask(client, query('BEGIN'));
    await ask(client, query('SELECT 1/0'));
    assert.deepEqual(codes(await ask(client, query('DEALLOCATE ALL'))), ['25P02']);
    await ask(client, query('ROLLBACK'));
    assert.deepEqual(firstColumns(await ask(client, run('kept'))), ['1']);
    client.end();
  });

  it('by DEALLOCATE as a statement that is bound ends one prepared by protocol', async () => {
    const client = await connect();
    for (const others of [0, 1, 2, 0]) {
      await ask(client, parse('SELECT 1', '_pg3_0'), sync());
      const release = await occupy(others);
      const messages = await ask(client, parse('DEALLOCATE _pg3_0'), describeMessage('S'), run(''));
      assert.equal(types(messages), '1tn2CZ');
      assert.match(messages.at(-2)?.body.toString() ?? '', /^DEALLOCATE\0/);
      await release();
      assert.deepEqual(codes(await ask(client, run('_pg3_0'))), ['26000']);
    }
    client.end();
  });

  it('by DEALLOCATE ALL as a statement that is bound ends all, and all can be new', async () => {
    const [client, other] = [await connect(), await connect()];
    for (const one of [client, other]) await ask(one, parse('SELECT 5', 'd'), sync());
    for (const [name, text] of Object.entries({ '': 'DEALLOCATE ALL', all: 'DISCARD ALL' })) {
      assert.equal(types(await ask(client, parse(text, name), run(name))), '12CZ');
      assert.deepEqual(codes(await ask(client, run('d'))), ['26000']);
      const again = await ask(client, parse('SELECT 6', 'd'), run('d'));
      assert.deepEqual([types(again), firstColumns(again)], ['12DCZ', ['6']]);
    }
    assert.deepEqual(firstColumns(await ask(other, run('d'))), ['5']);
    client.end();
    other.end();
  });

  it('by DEALLOCATE ALL among other statements of one text ends all', async () => {
    const client = await connect();
    await ask(client, parse('SELECT 5', 'd'), sync());
    await ask(client, query('BEGIN; DEALLOCATE ALL; SELECT 1'));
    assert.deepEqual(codes(await ask(client, run('d'))), ['26000']);
    await ask(client, query('ROLLBACK'));
    assert.equal(types(await ask(client, parse('SELECT 6', 'd'), run('d'))), '12DCZ');
    client.end();
  });

  it('by DISCARD ALL leaves other clients theirs', async () => {
    const [first, second] = [await connect(), await connect()];
    for (const client of [first, second]) await ask(client, parse('SELECT 5', 'd'), sync());
    await ask(first, query('DISCARD ALL'));
    assert.deepEqual(codes(await ask(first, run('d'))), ['26000']);
    assert.deepEqual(firstColumns(await ask(second, run('d'))), ['5']);
    first.end();
    second.end();
  });
});

describe('the unnamed statement', () => {
  it('is bound in a later batch on another server connection', async () => {
    const client = await connect();
    await ask(client, parse('SELECT pg_backend_pid()'), describeMessage('S'), sync());
    const pids = new Set<string>();
    for (let round = 0; pids.size < 2 && round < 60; round++) {
      const release = await occupy(round % 3);
      pids.add(firstColumns(await ask(client, run('')))[0] ?? '');
      await release();
    }
    assert.equal(pids.size, 2);
    client.end();
  });

  it("is never another client's", async () => {
    const [owner, thief] = [await connect(), await connect()];
    await ask(owner, parse(`SELECT 'secret'`), run(''));
    assert.deepEqual(codes(await ask(thief, run(''))), ['26000']);
    assert.deepEqual(codes(await ask(thief, describeMessage('S'), sync())), ['26000']);
    owner.end();
    thief.end();
  });
});

/** What a client can compare: types, error codes and texts, rows, tags. */
function seen(messages: readonly RawMessage[]): string[] {
  return messages.map((message) => {
    const { type, body } = message;
    if (type !== 'E') return `${type} ${body.toString('latin1')}`;
    const { C, M } = fields(message);
    return `E ${C} ${M}`;
  });
}

const NAMES = ['', 'a', 'b', 'c'];
const TEXTS = [
  'SELECT 1',
  'SELECT $1::int + 1',
  'SELEC',
  'SELECT 1/0',
  'SELECT a FROM t',
  'ROLLBACK',
  'DEALLOCATE ALL',
];
/** What gives one statement up is followed in the unnamed statement alone. */
const UNNAMED_TEXTS = [...TEXTS, 'DEALLOCATE a'];
const step = fc.oneof(
  fc.tuple(fc.constantFrom(...TEXTS), fc.constantFrom(...NAMES)).map(([sql, name]) => ({
    text: `P ${name}=${sql}`,
    bytes: parse(sql, name),
  })),
  fc.constantFrom(...UNNAMED_TEXTS).map((sql) => ({ text: `P =${sql}`, bytes: parse(sql) })),
  fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom([], ['5'], ['x'])).map(([name, values]) => ({
    text: `B ${name}(${values.join()})`,
    bytes: Buffer.concat([bind(values, name), execute()]),
  })),
  fc.constantFrom(...NAMES).map((name) => ({
    text: `D ${name}`,
    bytes: describeMessage('S', name),
  })),
  fc.constantFrom(...NAMES).map((name) => ({ text: `C ${name}`, bytes: close('S', name) })),
  fc.constant({ text: 'S', bytes: sync() }),
  fc
    .constantFrom('BEGIN', 'COMMIT', 'ROLLBACK', 'SELECT 7', 'DEALLOCATE a', 'DEALLOCATE ALL', '')
    .map((sql) => ({ text: `Q ${sql}`, bytes: query(sql) })),
);

describe('random scripts of statements', () => {
  it('read byte for byte the same as on a private connection', async () => {
    const direct = { host: '127.0.0.1', port: cluster.port };
    const scripts = fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(scripts, async (script) => {
        const [pooled, own] = [await connect(), await RawClient.login(direct, login)];
        const other = await connect();
        for (const batch of script) {
          const bytes = Buffer.concat([...batch.map((part) => part.bytes), sync()]);
          // In an aborted transaction the marker itself would be refused.
          const marker = Buffer.concat([query('ROLLBACK'), query(`SELECT 'end of batch'`)]);
          const answers = (client: RawClient) => {
            client.send(Buffer.concat([bytes, marker]));
            return within(3_000, untilMarker(client));
          };
          const [mine, expected] = await Promise.all([pooled, own].map(answers));
          const text = batch.map((part) => part.text).join(' | ');
          assert.deepEqual(mine, expected?.map(asAborted(mine ?? [])), text);
          await ask(other, parse('SELECT 9', 'a'), run('a'), close('S', 'a'), sync());
        }
        for (const client of [pooled, own, other]) client.end();
      }),
      fuzzing({ runs: 60, seed: 20_261 }),
    );
    await proxy.atRest();
  });
});

/** What was seen until the marker, or until nothing came for `timeoutMs`. */
async function within(timeoutMs: number, messages: Promise<RawMessage[]>): Promise<string[]> {
  const silence = new Promise<'silence'>((resolve) => setTimeout(resolve, timeoutMs, 'silence'));
  const first = await Promise.race([messages, silence]);
  return first === 'silence' ? ['silence'] : seen(first);
}

/**
 * The one known difference: an aborted transaction refuses the Parse that a missing statement
 * would need, before what is wrong with its Bind could be told.
 */
function asAborted(mine: readonly string[]): (expected: string, index: number) => string {
  const refusal = 'E 25P02 ';
  return (expected, index) => {
    const got = mine[index] ?? '';
    return got.startsWith(refusal) && expected.startsWith('E ') ? got : expected;
  };
}

/** All messages up to the reply of the marker. */
async function untilMarker(client: RawClient): Promise<RawMessage[]> {
  const messages: RawMessage[] = [];
  for (;;) {
    const more = await client.until('Z');
    messages.push(...more);
    if (more.length === 0) return messages;
    const isMarker = more.some(
      ({ type, body }) => type === 'D' && body.toString('latin1').endsWith('end of batch'),
    );
    if (isMarker) return messages;
  }
}
