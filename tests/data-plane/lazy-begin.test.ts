/**
 * Transactions whose BEGIN is answered before there is a server connection: what clients read is
 * what a server says, and nothing runs outside of its transaction, whatever happens to the BEGIN.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/proxy-metrics.ts';
import {
  bind,
  close,
  copyData,
  copyDone,
  describe as describeMessage,
  execute,
  fields,
  firstColumns,
  flush,
  frame,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'begin';
const DATABASE = 'acme';
const LOGIN = { user: 'postgres', password: PASSWORD, database: DATABASE };

let cluster: PostgresCluster;
let proxy: TestProxy;

const DEFAULTS: PoolOverrides = {
  poolMode: 'transaction',
  lazyBegin: 'on',
  minConnections: 0,
  maxConnections: 1,
  acquireTimeoutMs: 10_000,
  pauseWaitTimeoutMs: 10_000,
  idleInTransactionTimeoutMs: 0,
  transactionTimeoutMs: 0,
};

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', `CREATE DATABASE ${DATABASE}`);
  await cluster.sql(DATABASE, 'CREATE TABLE notes (n int); CREATE TABLE copied (n int)');
  const server = { port: cluster.port, username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({
    tenants: [{ id: DATABASE, database: DATABASE, ...server, pool: DEFAULTS }],
  });
});
after(async () => {
  await proxy.atRest();
  await proxy.stop();
  await cluster.stop();
});

const clients: RawClient[] = [];
async function connect(): Promise<RawClient> {
  const client = await RawClient.login(proxy, LOGIN);
  clients.push(client);
  return client;
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await eventually('no server connection is lent', async () => (await leased()) === 0);
});

/** What a client reads up to ReadyForQuery, short: types, tags, SQLSTATEs, values, status. */
async function read(client: RawClient): Promise<string> {
  return (await client.until('Z')).map(short).join(' ');
}

function short(message: RawMessage): string {
  const { type, body } = message;
  if (type === 'E' || type === 'N') return `${type}:${fields(message)['C']}`;
  if (type === 'C') return body.toString('latin1', 0, body.length - 1);
  if (type === 'D') return firstColumns([message]).join();
  return type === 'Z' ? body.toString('latin1') : type;
}

async function ask(client: RawClient, ...messages: readonly Buffer[]): Promise<string> {
  client.send(Buffer.concat(messages));
  return read(client);
}

/** Server connections that the proxy has lent to clients now. */
async function leased(): Promise<number> {
  const page = await (await fetch(proxy.metricsUrl)).text();
  const line = page.split('\n').find((text) => text.startsWith('dbbouncer_connections_active{'));
  return Number(line?.split(' ').at(-1) ?? 0);
}

describe('a BEGIN that comes alone', () => {
  it('takes no server connection, as a Query or in messages', async () => {
    const [simple, extended, named] = [await connect(), await connect(), await connect()];
    assert.equal(await ask(named, parse('begin read write;', 'b'), sync()), '1 I');
    assert.equal(
      await ask(simple, query('/* why /* not */ */ START TRANSACTION -- now')),
      'START TRANSACTION T',
    );
    assert.equal(
      await ask(extended, parse('BEGIN'), bind(), describeMessage('P'), execute(), sync()),
      '1 2 n BEGIN T',
    );
    assert.equal(await ask(named, bind([], 'b'), execute(), sync()), '2 BEGIN T');
    await eventually('no server connection is lent', async () => (await leased()) === 0);
    assert.equal(await ask(simple, query('SELECT 1')), 'T 1 SELECT 1 T');
    assert.equal(await leased(), 1);
    assert.equal(await ask(extended, query('END')), 'COMMIT I');
    assert.equal(await ask(named, parse('ABORT'), bind(), execute(), sync()), '1 2 ROLLBACK I');
  });
});

/** The oid of pi(). */
const PI = 1610;

/** What is asked in turn, each in one write, with the ReadyForQuery that it brings. */
type Sequence = readonly (readonly Buffer[])[];
const texts = (...sql: readonly string[]): Sequence => sql.map((text) => [query(text)]);
const messages = (sql: string) => [parse(sql), bind(), describeMessage('P'), execute(), sync()];

const SEQUENCES: Readonly<Record<string, Sequence>> = {
  'nothing between': texts('BEGIN', 'COMMIT', 'BEGIN', 'ROLLBACK', 'begin;', 'end work', 'ABORT'),
  'nothing between, in messages': ['BEGIN', 'COMMIT', 'START TRANSACTION', 'ROLLBACK'].map(
    messages,
  ),
  modes: texts(
    'BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE',
    'SHOW transaction_isolation',
    'SHOW transaction_read_only; SHOW transaction_deferrable',
    'COMMIT',
    'START TRANSACTION READ WRITE NOT DEFERRABLE ISOLATION LEVEL REPEATABLE READ',
    'SHOW transaction_isolation',
    'ROLLBACK',
  ),
  'what is no BEGIN alone': texts(
    'BEGIN; SELECT 1',
    'COMMIT',
    'BEGIN READ SOMETIMES',
    'BEGIN ISOLATION LEVEL SERIALIZABLE,',
    'BEGIN; COMMIT; BEGIN',
    'ROLLBACK',
  ),
  'BEGIN twice': texts('BEGIN', 'BEGIN', 'SELECT 1', 'COMMIT', 'COMMIT'),
  'BEGIN with other modes within': texts(
    'BEGIN',
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'SHOW transaction_isolation',
    'COMMIT',
  ),
  'chained ends': texts(
    'BEGIN READ ONLY',
    'COMMIT AND CHAIN',
    'SHOW transaction_read_only',
    'ROLLBACK AND CHAIN',
    'INSERT INTO notes VALUES (1)',
    'ROLLBACK',
  ),
  'an empty query': texts('BEGIN', '', ' ; -- nothing', 'COMMIT'),
  'a first statement that fails': texts('BEGIN', 'SELECT 1/0', 'SELECT 2', 'COMMIT', 'SELECT 3'),
  'a first statement that cannot be read': texts('BEGIN', 'SELEC 1', 'ROLLBACK'),
  'what no transaction allows': texts('BEGIN', 'VACUUM notes', 'SELECT 1', 'ROLLBACK'),
  'a first statement that ends the transaction': texts(
    'BEGIN',
    'SELECT 1; COMMIT; SELECT 2',
    'COMMIT',
  ),
  savepoints: texts('BEGIN', 'SAVEPOINT a', 'SELECT 1/0', 'ROLLBACK TO a', 'SELECT 1', 'COMMIT'),
  'a savepoint that is not there': texts('BEGIN', 'ROLLBACK TO a', 'COMMIT'),
  'parameters of the transaction': texts(
    'BEGIN',
    'SET TRANSACTION READ ONLY',
    'INSERT INTO notes VALUES (1)',
    'ROLLBACK',
    'BEGIN',
    `SET LOCAL work_mem = '5MB'`,
    'SHOW work_mem',
    'COMMIT',
    'SHOW work_mem',
    'BEGIN',
    `SET work_mem = '6MB'`,
    'ROLLBACK',
    'SHOW work_mem',
  ),
  'two-phase commit': texts('BEGIN', `PREPARE TRANSACTION 'two'`, 'COMMIT'),
  'LISTEN, NOTIFY and UNLISTEN': texts(
    'BEGIN',
    'UNLISTEN *',
    'COMMIT',
    'BEGIN',
    'LISTEN l',
    'ROLLBACK',
  ),
  'what gives things up': texts(
    'BEGIN',
    'DISCARD ALL',
    'ROLLBACK',
    'BEGIN',
    'DEALLOCATE ALL',
    'COMMIT',
  ),
  'SQL PREPARE': texts('BEGIN', 'PREPARE p AS SELECT 7', 'EXECUTE p', 'ROLLBACK', 'DEALLOCATE p'),
  cursors: texts('BEGIN', 'DECLARE c CURSOR FOR SELECT 1', 'FETCH ALL FROM c', 'COMMIT'),
  'COPY in': [
    [query('BEGIN')],
    [query('COPY copied FROM STDIN'), copyData('1\n'), copyDone()],
    [query('SELECT count(*) FROM copied')],
    [query('ROLLBACK')],
  ],
  'COPY out': texts('BEGIN', 'COPY notes TO STDOUT', 'COMMIT'),
  'a function call': [[query('BEGIN')], [functionCall(PI)], [query('ROLLBACK')]],
  'a batch behind a Query': [[query('BEGIN')], messages('SELECT 1'), messages('COMMIT')],
  'a Query behind a batch': [messages('BEGIN'), [query('SELECT 1')], [query('COMMIT')]],
  'the unnamed statement of before': [
    [parse('SELECT 41'), sync()],
    [query('BEGIN')],
    [bind(), execute(), sync()],
    [query('ROLLBACK')],
    messages('BEGIN'),
    [bind(), execute(), sync()],
    [bind(), execute(), sync()],
    [query('ROLLBACK')],
  ],
  'a named statement': [
    [parse('SELECT 5', 'five'), sync()],
    [query('BEGIN')],
    [bind([], 'five'), execute(), sync()],
    [query('COMMIT')],
    [query('BEGIN')],
    [parse('SELECT 5', 'again'), describeMessage('S', 'again'), sync()],
    [parse('SELECT 5', 'again'), sync()],
    [query('ROLLBACK')],
  ],
  'BEGIN and COMMIT prepared': [
    [parse('BEGIN ISOLATION LEVEL REPEATABLE READ', 'b'), parse('COMMIT', 'c'), sync()],
    [bind([], 'b'), execute(), sync()],
    [bind([], 'c'), execute(), sync()],
    [bind([], 'b'), describeMessage('P'), execute(), sync()],
    [query('SHOW transaction_isolation')],
    [bind([], 'c'), execute(), sync()],
    [bind([], 'c'), execute(), sync()],
  ],
  'Sync and Flush alone': [
    [query('BEGIN')],
    [sync()],
    [flush(), sync()],
    [query('COMMIT')],
    [sync()],
  ],
  'rows of a COPY that is none': [
    [query('BEGIN')],
    [copyData('1\n'), copyDone(), sync()],
    [query('COMMIT')],
  ],
  'portals that are not there': [
    [query('BEGIN')],
    [execute(), sync()],
    [query('ROLLBACK')],
    [query('BEGIN')],
    [describeMessage('P'), sync()],
    [query('ROLLBACK')],
    [query('BEGIN')],
    [parse('SELECT 1'), execute(), sync()],
    [query('ROLLBACK')],
    messages('BEGIN'),
    [describeMessage('P'), sync()],
    [execute(), sync()],
    [query('ROLLBACK')],
  ],
  'only a Parse, a Close, an unknown statement': [
    [query('BEGIN')],
    [parse('SELECT 1'), sync()],
    [close('S'), close('P'), sync()],
    [bind([], 'nobody'), sync()],
    [query('COMMIT')],
  ],
  'a BEGIN with parameters, another portal, too many formats': [
    [parse('BEGIN', '', [23]), bind(['1']), execute(), sync()],
    [parse('BEGIN'), bind([], '', 'p'), execute('p'), sync()],
    [query('ROLLBACK')],
    [parse('BEGIN'), bindWithFormats(2), execute(), sync()],
    [parse('BEGIN'), bindWithFormats(1), execute('', 1), sync()],
    [query('ROLLBACK')],
  ],
  'a BEGIN that is not alone in its batch': [
    [parse('BEGIN'), bind(), execute(), parse('SELECT 1'), bind(), execute(), sync()],
    [query('ROLLBACK')],
    [parse('SELECT 1'), bind(), execute(), parse('BEGIN'), bind(), execute(), sync()],
    [query('ROLLBACK')],
  ],
};

function functionCall(oid: number): Buffer {
  const body = Buffer.alloc(10);
  body.writeInt32BE(oid, 0);
  return frame('F', body);
}

function bindWithFormats(count: number): Buffer {
  const formats = Buffer.alloc(2 + 2 * count);
  formats.writeInt16BE(count, 0);
  return frame('B', Buffer.concat([Buffer.alloc(2), formats, Buffer.alloc(4)]));
}

/** Every byte that is read, but of ParameterStatus. */
async function bytesRead(client: RawClient, sequence: Sequence): Promise<string[]> {
  const read: string[] = [];
  for (const asked of sequence) {
    client.send(Buffer.concat(asked));
    const replies = (await client.until('Z')).filter(({ type }) => type !== 'S');
    read.push(replies.map(({ type, body }) => `${type} ${body.toString('latin1')}`).join(' | '));
  }
  return read;
}

describe('what a client reads, byte for byte as from the server itself', () => {
  for (const [name, sequence] of Object.entries(SEQUENCES)) {
    it(`of ${name}`, async () => {
      const direct = await RawClient.login({ host: cluster.host, port: cluster.port }, LOGIN);
      const right = await bytesRead(direct, sequence);
      direct.end();
      await direct.closed();
      assert.deepEqual(await bytesRead(await connect(), sequence), right);
    });
  }

  it('of all that is sent without waiting, be the BEGIN the last of it or not', async () => {
    const sent = [query('BEGIN'), query('SELECT 1'), query('COMMIT'), query('BEGIN')];
    const direct = await RawClient.login({ host: cluster.host, port: cluster.port }, LOGIN);
    const pipelined = await connect();
    for (let from = 0; from < sent.length; from++) {
      for (const client of [direct, pipelined]) client.send(Buffer.concat(sent.slice(from)));
      for (const _ of sent.slice(from)) assert.equal(await read(pipelined), await read(direct));
      assert.equal(await ask(pipelined, query('ROLLBACK')), await ask(direct, query('ROLLBACK')));
    }
    direct.end();
  });
});

describe('a transaction that no server knows of', () => {
  const withPool = async (pool: PoolOverrides, use: () => Promise<void>) => {
    await proxy.setPool(DATABASE, { ...DEFAULTS, ...pool });
    try {
      await use();
    } finally {
      await proxy.setPool(DATABASE, DEFAULTS);
    }
  };
  /** A client that holds the only server connection. */
  async function holder(): Promise<RawClient> {
    const client = await connect();
    assert.equal(await ask(client, query('BEGIN; SELECT 1')), 'BEGIN T 1 SELECT 1 T');
    return client;
  }

  it('is ended with FATAL 53300 when its first statement gets no connection in 300 ms', () =>
    withPool({ acquireTimeoutMs: 300 }, async () => {
      await holder();
      const client = await connect();
      assert.equal(await ask(client, query('BEGIN')), 'BEGIN T');
      client.send(query('INSERT INTO notes VALUES (1)'));
      const [error] = await client.until('E');
      const { S, C, M, H } = fields(error as RawMessage);
      assert.deepEqual([S, C], ['FATAL', '53300']);
      assert.match(M ?? '', /tenant "acme".*acquire_timeout \(300 ms\).*1 of max_connections/);
      assert.match(H ?? '', /raise max_connections/);
      await client.closed();
    }));

  it('is ended with FATAL 57P03 when its tenant stays paused', () =>
    withPool({ pauseWaitTimeoutMs: 200 }, async () => {
      const client = await connect();
      await ask(client, query('BEGIN'));
      await proxy.operate(DATABASE, 'pause');
      client.send(query('SELECT 1'));
      const [error] = await client.until('E');
      const { S, C } = fields(error as RawMessage);
      assert.deepEqual([S, C], ['FATAL', '57P03']);
      await client.closed();
      await proxy.operate(DATABASE, 'resume');
    }));

  it('is in a failed transaction until it rolls back, when a cancel ends its wait', async () => {
    const other = await holder();
    const client = await connect();
    for (const first of [[query('SELECT 1')], messages('SELECT 1')]) {
      await ask(client, query('BEGIN'));
      client.send(Buffer.concat(first));
      await proxy.report(({ pools }) => pools.some(({ waiting }) => waiting === 1));
      const canceller = await RawClient.connect(proxy);
      canceller.cancel(client.key());
      assert.equal(await read(client), 'E:57014 E');
      client.send(query('SELECT 1'));
      const [error] = await client.until('Z');
      const { C, M, D } = fields(error as RawMessage);
      assert.equal(C, '25P02');
      assert.match(M ?? '', /^current transaction is aborted, commands ignored until end/);
      assert.match(D ?? '', /TRANSACTION_ABORTED/);
      assert.equal(await ask(client, query('ROLLBACK')), 'ROLLBACK I');
    }
    assert.equal(await ask(other, query('COMMIT')), 'COMMIT I');
  });

  it('meets idle_in_transaction_timeout of 200 ms with 25P03, open or failed', () =>
    withPool({ idleInTransactionTimeoutMs: 200 }, async () => {
      const client = await connect();
      await ask(client, query('BEGIN'));
      const [error] = await client.until('E');
      const { S, C } = fields(error as RawMessage);
      assert.deepEqual([S, C], ['FATAL', '25P03']);
    }));

  it('has its time counted by transaction_timeout from its BEGIN on', () =>
    withPool({ transactionTimeoutMs: 400 }, async () => {
      const client = await connect();
      const beganMs = performance.now();
      await ask(client, query('BEGIN'));
      await pause(250);
      await ask(client, query('SELECT 1'));
      const [error] = await client.until('E');
      assert.equal(fields(error as RawMessage)['C'], '25P04');
      // At most a tenth and a look late; from its first statement on it would be 650 ms.
      assert.ok(performance.now() - beganMs < 600, `${performance.now() - beganMs} ms`);
    }));

  it('is one for a drain of its tenant, which ends its client behind the COMMIT', async () => {
    const client = await connect();
    await ask(client, query('BEGIN'));
    await proxy.operate(DATABASE, 'drain');
    assert.equal(await ask(client, query('SELECT 1')), 'T 1 SELECT 1 T');
    client.send(query('COMMIT'));
    assert.equal(await read(client), 'COMMIT I');
    assert.deepEqual((await client.until('E')).map(short), ['E:57P01']);
    await proxy.operate(DATABASE, 'resume');
    const other = await connect();
    await ask(other, query('BEGIN'));
    await proxy.operate(DATABASE, 'drain');
    assert.equal(await ask(other, query('COMMIT')), 'COMMIT I');
    assert.deepEqual((await other.until('E')).map(short), ['E:57P01']);
    await proxy.operate(DATABASE, 'resume');
  });

  it('hears no notification before it ends, and then before ReadyForQuery', () =>
    withPool({ maxConnections: 2 }, async () => {
      const [client, other] = [await connect(), await connect()];
      for (const each of [client, other]) await ask(each, query('LISTEN news'));
      await ask(client, query('BEGIN'));
      other.send(query('NOTIFY news'));
      await other.until('A');
      assert.equal(await ask(client, sync()), 'T');
      assert.equal(await ask(client, query('COMMIT')), 'COMMIT A I');
      for (const each of [client, other]) await ask(each, query('UNLISTEN *'));
    }));

  it('counts its BEGIN and COMMIT as queries, and the BEGIN that is sent as none', async () => {
    const counted = () =>
      metric(proxy, 'dbbouncer_query_duration_seconds_count', { tenant: DATABASE });
    const client = await connect();
    await ask(client, query('SELECT 1'));
    const before = await counted();
    for (const sql of ['BEGIN', 'COMMIT', 'BEGIN', 'SELECT 1', 'COMMIT'])
      await ask(client, query(sql));
    assert.equal((await counted()) - before, 5);
  });
});

describe('a BEGIN holds a server connection', () => {
  it('at lazy_begin off, and in session mode', async () => {
    for (const pool of [{ lazyBegin: 'off' }, { poolMode: 'session' }] as const) {
      await proxy.setPool(DATABASE, { ...DEFAULTS, ...pool });
      const client = await connect();
      assert.equal(await ask(client, query('BEGIN')), 'BEGIN T');
      assert.equal(await leased(), 1, JSON.stringify(pool));
      client.end();
      await proxy.atRest();
    }
    await proxy.setPool(DATABASE, DEFAULTS);
  });

  it('of a client that has one for itself', async () => {
    const client = await connect();
    await ask(client, query('CREATE TEMP TABLE mine (n int)'));
    const { pid } = await pidOf(client);
    await ask(client, query('BEGIN'));
    const [row] = await cluster.sql(
      'postgres',
      `SELECT state FROM pg_stat_activity WHERE pid = ${pid}`,
    );
    assert.equal(row?.['state'], 'idle in transaction');
  });
});

async function pidOf(client: RawClient): Promise<{ readonly pid: number }> {
  client.send(query('SELECT pg_backend_pid()'));
  return { pid: Number(firstColumns(await client.until('Z'))[0]) };
}
