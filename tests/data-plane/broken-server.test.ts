/**
 * Servers that break the protocol in the middle of a session: their client reads an error and is
 * disconnected, the server connection is closed, and the next client has another one. And what
 * clients send too late costs nobody a server connection.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { bytes, message } from '../support/bytes.ts';
import {
  bind,
  copyData,
  copyDone,
  execute,
  fields,
  firstColumns,
  flush,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'broken secret';
let cluster: PostgresCluster;
let proxy: TestProxy;
let liar: Liar;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE TABLE copied (a int)');
  liar = await Liar.start(cluster.port);
  const tenant = (id: string, port: number) => ({
    id,
    port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool: { poolMode: 'transaction', maxConnections: 1, minConnections: 0 } as const,
  });
  proxy = await TestProxy.start({
    tenants: [tenant('acme', cluster.port), tenant('lied', liar.port)],
  });
});
after(async () => {
  await proxy.stop();
  liar.close();
  await cluster.remove();
});

const logIn = (database: string) =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database });

/** Passes everything on, but once says something else than the server. */
class Liar {
  readonly port: number;
  readonly close: () => void;
  /** Said before the truth, once; `end`: and nothing more. */
  lie: { readonly bytes: Buffer; readonly behind: 'go_on' | 'end' } | undefined;

  private constructor(port: number, close: () => void) {
    this.port = port;
    this.close = close;
  }

  static async start(serverPort: number): Promise<Liar> {
    const open = new Set<Socket>();
    const listener = createServer((client) => {
      const server = connect({ host: '127.0.0.1', port: serverPort });
      for (const socket of [client, server]) {
        open.add(socket);
        socket.on('error', () => {}).on('close', () => open.delete(socket));
      }
      client.pipe(server);
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
      server.on('data', (chunk: Buffer) => liar.#say(client, chunk));
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const liar = new Liar((listener.address() as AddressInfo).port, () => {
      listener.close();
      for (const socket of open) socket.destroy();
    });
    return liar;
  }

  #say(client: Socket, truth: Buffer): void {
    const { lie } = this;
    if (lie === undefined || !truth.includes('the truth')) return void client.write(truth);
    this.lie = undefined;
    client.write(lie.bytes);
    if (lie.behind === 'end') client.destroySoon();
    else client.write(truth);
  }
}

const declaring = (type: string, length: number) => bytes().text(type).int32(length).toBuffer();

describe('a server that breaks the protocol', () => {
  const lies: readonly [string, Buffer, 'go_on' | 'end'][] = [
    ['has a type nobody knows', message('~', bytes().text('what')), 'go_on'],
    ['is of a type that clients send', message('Q', bytes().cstring('SELECT 1')), 'go_on'],
    ['declares a length of 3', declaring('D', 3), 'go_on'],
    ['declares a negative length', declaring('D', -1), 'go_on'],
    ['declares 2 GB', declaring('D', 0x7fffffff), 'go_on'],
    ['is a ReadyForQuery of 2 bytes', message('Z', bytes().text('II')), 'go_on'],
    ['is a ReadyForQuery of no known status', message('Z', bytes().text('?')), 'go_on'],
    ['answers a Bind that was not sent', message('2'), 'go_on'],
    ['asks for a password', message('R', bytes().int32(3)), 'go_on'],
    ['is another cancel key', message('K', bytes().int32(1).int32(2)), 'go_on'],
    ['is a ParameterStatus without an end', message('S', bytes().text('a')), 'go_on'],
    ['ends in its middle', declaring('D', 100), 'end'],
  ];
  for (const [what, lie, behind] of lies) {
    it(`with a message that ${what} costs its client the session`, async () => {
      const client = await logIn('lied');
      liar.lie = { bytes: lie, behind };
      client.send(query("SELECT 'the truth'"));
      const told = (await client.until('E')).filter(({ type }) => type !== 'D');
      // Within a message nothing else can be said.
      const expected = behind === 'end' ? [] : [['FATAL', '08006']];
      const read = told.map((error) => [fields(error)['S'], fields(error)['C']]);
      assert.deepEqual(read, expected);
      assert.equal(await client.next(), undefined);
      const next = await logIn('lied');
      next.send(query("SELECT 'next'"));
      assert.deepEqual(firstColumns(await next.until('Z')), ['next']);
      next.end();
    });
  }

  it('leaves no lease behind', async () => {
    await proxy.atRest();
  });
});

describe('what comes too late', () => {
  const nextIsServed = async () => {
    const next = await logIn('acme');
    next.send(query("SELECT 'next'"));
    assert.deepEqual(firstColumns(await next.until('Z')), ['next']);
    next.end();
  };

  it('for a COPY that has failed holds no server connection', async () => {
    const client = await logIn('acme');
    client.send(query('COPY copied FROM STDIN'));
    await client.until('G');
    client.send(copyData('no number\n'));
    assert.equal((await client.until('Z')).at(-1)?.type, 'Z');
    for (let i = 0; i < 100; i++) client.send(copyData(`${i}\n`));
    client.send(copyDone());
    await nextIsServed();
    client.send(query("SELECT 'goes on'"));
    assert.deepEqual(firstColumns(await client.until('Z')), ['goes on']);
    client.end();
  });

  it('for an extended COPY that has failed holds none behind its Sync', async () => {
    const client = await logIn('acme');
    client.send(Buffer.concat([parse('COPY copied FROM STDIN'), bind(), execute(), flush()]));
    await client.until('G');
    client.send(Buffer.concat([copyData('no number\n'), sync()]));
    await client.until('E');
    client.send(Buffer.concat([copyData('1\n'), copyDone(), sync()]));
    await client.until('Z');
    client.send(query("SELECT 'goes on'"));
    const told = await client.until('C');
    assert.deepEqual(firstColumns(told), ['goes on']);
    client.end();
    await nextIsServed();
    await proxy.atRest();
  });
});
