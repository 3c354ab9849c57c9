/**
 * What becomes of a transaction when something happens to the BEGIN that the proxy puts in front of
 * its first statement: nothing of it runs outside of the transaction, and the client reads what it
 * would read of a transaction that has failed.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import {
  bind,
  close,
  copyData,
  copyDone,
  describe as describeMessage,
  execute,
  fields,
  flush,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { BeginRelay, INJECTED_BYTES } from './begin-relay.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'faults';
const LOGIN = { user: 'postgres', password: PASSWORD, database: 'acme' };

let cluster: PostgresCluster;
let relay: BeginRelay;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE TABLE notes (n int)');
  relay = await BeginRelay.start(cluster.port);
  const pool = { poolMode: 'transaction', minConnections: 0, maxConnections: 2 } as const;
  const server = { port: relay.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'postgres', ...server }] });
});
after(async () => {
  // Whatever has failed on the way: no client has kept a server connection.
  await proxy.atRest();
  await proxy.stop();
  relay.close();
  await cluster.stop();
});
beforeEach(() => {
  relay.next = undefined;
});

const clients: RawClient[] = [];
async function connect(): Promise<RawClient> {
  const client = await RawClient.login(proxy, LOGIN);
  clients.push(client);
  return client;
}
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

function short(message: RawMessage): string {
  const { type, body } = message;
  if (type === 'E' || type === 'N') return `${type}:${fields(message)['C']}`;
  if (type === 'C') return body.toString('latin1', 0, body.length - 1);
  return type === 'Z' ? body.toString('latin1') : type;
}

async function ask(client: RawClient, ...messages: readonly Buffer[]): Promise<string> {
  client.send(Buffer.concat(messages));
  return (await client.until('Z')).map(short).join(' ');
}

async function rows(): Promise<number> {
  const [row] = await cluster.sql('postgres', 'SELECT count(*)::int AS n FROM notes');
  return row?.['n'] as number;
}

const INSERT = 'INSERT INTO notes VALUES (1)';
const inserted = [parse(INSERT), bind(), describeMessage('P'), execute(), sync()];

/** First statements of a transaction, and what is read of each when nothing happens. */
const FIRST: readonly (readonly [string, readonly Buffer[]])[] = [
  ['a Query', [query(INSERT)]],
  ['a batch', inserted],
  ['a batch that ends with a Query', [parse(INSERT), bind(), execute(), query('SELECT 1')]],
];

describe('a cancel at any byte of the BEGIN', () => {
  for (const [name, messages] of FIRST) {
    it(`in front of ${name} leaves a transaction that can be rolled back whole`, async () => {
      const client = await connect();
      for (let at = 0; at <= INJECTED_BYTES + 5; at++) {
        assert.equal(await ask(client, query('BEGIN')), 'BEGIN T');
        relay.next = { kind: 'cancel', at: Math.min(at, INJECTED_BYTES) };
        const first = await ask(client, ...messages);
        const isCancelled = first.includes('E:57014');
        assert.match(first, isCancelled ? / ?E:57014 E$/ : /T$/, `cancelled at byte ${at}`);
        const second = await ask(client, query(INSERT));
        assert.equal(second, isCancelled ? 'E:25P02 E' : 'INSERT 0 1 T', `byte ${at}`);
        assert.equal(await ask(client, query('ROLLBACK')), 'ROLLBACK I');
        assert.equal(await ask(client, query('SELECT FROM notes')), 'T SELECT 0 I', `byte ${at}`);
        assert.equal(relay.next, undefined, 'the BEGIN has come');
      }
    });
  }

  it('of the client, sent while it is under way, has the transaction fail', async () => {
    const client = await connect();
    for (let round = 0; round < 40; round++) {
      await ask(client, query('BEGIN'));
      const held = Promise.withResolvers<void>();
      relay.next = { kind: 'hold', until: held.promise };
      client.send(query(INSERT));
      const canceller = await RawClient.connect(proxy);
      canceller.cancel(client.key());
      if (round % 2 === 0) await canceller.closed();
      held.resolve();
      const first = (await client.until('Z')).map(short).join(' ');
      assert.match(first, /^(INSERT 0 1 T|E:57014 E)$/);
      assert.equal(await ask(client, query('ROLLBACK')), 'ROLLBACK I');
      await canceller.closed();
    }
    assert.equal(await rows(), 0);
  });
});

/** BEGINs of which a server refuses the Parse, the Bind, and the Execute. */
const REFUSED: readonly (readonly [string, Buffer, string])[] = [
  ['Parse', Buffer.concat([parse('BEGINS'), bind(), execute()]), '42601'],
  ['Bind', Buffer.concat([parse('BEGIN'), bind([], 'nobody'), execute()]), '26000'],
  ['Execute', Buffer.concat([parse('SAVEPOINT a'), bind(), execute()]), '25P01'],
];

for (const [message, by, code] of REFUSED) {
  describe(`a BEGIN that fails at its ${message}`, () => {
    const fail = () => {
      relay.next = { kind: 'replace', by };
    };

    it('has the first statement skipped, and its transaction failed until it ends', async () => {
      const client = await connect();
      for (const [name, messages] of FIRST) {
        await ask(client, query('BEGIN'));
        fail();
        assert.equal(await ask(client, ...messages), `E:${code} E`, name);
        assert.equal(await ask(client, query(INSERT)), 'E:25P02 E', name);
        assert.equal(await ask(client, ...inserted), 'E:25P02 E', name);
        assert.equal(await ask(client, query('COMMIT')), 'ROLLBACK I', name);
        assert.equal(await ask(client, query('SELECT 1')), 'T D SELECT 1 I', name);
      }
      assert.equal(await rows(), 0);
    });

    it('keeps what was sent behind the first statement from running', async () => {
      const client = await connect();
      await ask(client, query('BEGIN'));
      fail();
      client.send(Buffer.concat([query(INSERT), query(INSERT), ...inserted, query('COMMIT')]));
      const read = [];
      for (let i = 0; i < 4; i++) read.push((await client.until('Z')).map(short).join(' '));
      assert.deepEqual(read, [`E:${code} E`, 'E:25P02 E', 'E:25P02 E', 'ROLLBACK I']);
      assert.equal(await rows(), 0);
    });

    it('is told a client that waits for it at a Flush, and its Sync ends the batch', async () => {
      const client = await connect();
      await ask(client, query('BEGIN'));
      fail();
      client.send(Buffer.concat([parse(INSERT), bind(), execute(), flush()]));
      assert.deepEqual((await client.until('E')).map(short), [`E:${code}`]);
      assert.equal(await ask(client, bind(), execute(), sync()), 'E');
      assert.equal(await ask(client, query('ROLLBACK')), 'ROLLBACK I');
      assert.equal(await rows(), 0);
    });

    it('leaves nothing of a SET, a statement that is prepared or a temporary table', async () => {
      const client = await connect();
      await ask(client, parse('SELECT 7', 'seven'), sync());
      for (const sql of [`SET work_mem = '5MB'`, 'CREATE TEMP TABLE mine (n int)', 'LISTEN a']) {
        await ask(client, query('BEGIN'));
        fail();
        assert.equal(await ask(client, query(sql)), `E:${code} E`);
        assert.equal(await ask(client, query('ROLLBACK')), 'ROLLBACK I');
      }
      await ask(client, query('BEGIN'));
      fail();
      assert.equal(await ask(client, parse('SELECT 8', 'eight'), sync()), `E:${code} E`);
      await ask(client, query('ROLLBACK'));
      assert.equal(await ask(client, bind([], 'eight'), execute(), sync()), 'E:26000 I');
      assert.equal(await ask(client, bind([], 'seven'), execute(), sync()), '2 D SELECT 1 I');
      assert.equal(
        await ask(client, query(`SELECT 1 WHERE current_setting('work_mem') = '5MB'`)),
        'T SELECT 0 I',
      );
    });
  });
}

describe('a transaction that has failed before a server has begun it', () => {
  /** A client in one. */
  async function failed(): Promise<RawClient> {
    const client = await connect();
    await ask(client, parse('ROLLBACK', 'r'), sync());
    await ask(client, query('BEGIN'));
    relay.next = { kind: 'replace', by: parse('BEGINS') };
    await ask(client, query('SELECT 1'));
    return client;
  }

  const ENDS: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['COMMIT', [query('COMMIT')], 'ROLLBACK I'],
    ['END', [query('END;')], 'ROLLBACK I'],
    [
      'ROLLBACK in messages',
      [parse('rollback'), bind(), describeMessage('P'), execute(), sync()],
      '1 2 n ROLLBACK I',
    ],
    ['a prepared ROLLBACK', [bind([], 'r'), execute(), sync()], '2 ROLLBACK I'],
    ['ROLLBACK with more behind it', [query('ROLLBACK; SELECT 1')], 'ROLLBACK T D SELECT 1 I'],
  ];
  for (const [name, messages, replies] of ENDS) {
    it(`ends with ${name}`, async () => {
      const client = await failed();
      assert.equal(await ask(client, ...messages), replies);
      assert.equal(await ask(client, query('SELECT 1')), 'T D SELECT 1 I');
    });
  }

  it('answers like a server whatever else it is asked', async () => {
    const client = await failed();
    const direct = await RawClient.login(
      { host: '127.0.0.1', port: cluster.port },
      { ...LOGIN, database: 'postgres' },
    );
    await ask(direct, parse('ROLLBACK', 'r'), sync());
    await ask(direct, query('BEGIN'));
    await ask(direct, query('SELECT 1/0'));
    const asked: readonly (readonly Buffer[])[] = [
      [query('SELECT 1')],
      [query('')],
      [query(' -- nothing')],
      [query('BEGIN')],
      [sync()],
      [flush(), sync()],
      [copyData('1\n'), copyDone(), sync()],
      [parse('SELECT 1'), bind(), execute(), sync()],
      [parse('SELECT $1::int', '', [23]), sync()],
      [parse('COMMIT'), sync()],
      [close('P'), sync()],
      [parse('SELECT 1'), flush(), bind(), sync()],
      [query(`SELECT '${'x'.repeat(300_000)}'`)],
      [parse('COMMIT'), bind(), describeMessage('P'), sync()],
      [query('COMMIT AND CHAIN')],
      [query('SELECT 5')],
      [parse('ABORT AND CHAIN'), bind(), execute(), sync()],
      [sync()],
      [query('COMMIT')],
      [query('SELECT 6')],
    ];
    for (const [index, messages] of asked.entries()) {
      assert.equal(await ask(client, ...messages), await ask(direct, ...messages), `${index}`);
    }
    direct.end();
  });
});

describe('a client that goes', () => {
  it('in a transaction that no server knows of leaves nothing to do', async () => {
    const client = await connect();
    await ask(client, query('BEGIN'));
    const { seen } = relay;
    client.destroy();
    await proxy.atRest();
    assert.equal(relay.seen, seen);
  });

  it('during its first statement has that cancelled and rolled back', async () => {
    const client = await connect();
    await ask(client, query('BEGIN'));
    client.send(query(`INSERT INTO notes SELECT 1 FROM pg_sleep(60)`));
    await untilRunning(cluster, 'INSERT INTO notes SELECT 1 FROM pg_sleep(60)');
    client.destroy();
    await proxy.atRest();
    assert.equal(await rows(), 0);
  });

  it('while its BEGIN is on its way leaves the connection to others', async () => {
    for (const [, by] of REFUSED) {
      const client = await connect();
      await ask(client, query('BEGIN'));
      relay.next = { kind: 'replace', by };
      client.send(query(INSERT));
      client.socket.destroySoon();
    }
    await proxy.atRest();
    assert.equal(await rows(), 0);
    const next = await connect();
    assert.equal(await ask(next, query('SELECT 1')), 'T D SELECT 1 I');
    next.end();
    await proxy.atRest();
  });
});
