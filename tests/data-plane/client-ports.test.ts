/**
 * How clients reach a proxy: socket files, and load balancers that tell whose connection they pass
 * on.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient, startup } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'ports secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
const run = promisify(execFile);
let cluster: PostgresCluster;
let folder: string;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  folder = await mkdtemp(join(tmpdir(), 'dbb-ports-'));
});
after(async () => {
  await cluster.remove();
  await rm(folder, { recursive: true, force: true });
});

const tenant = (changes: Partial<TestTenant> = {}): TestTenant => ({
  id: 'acme',
  port: cluster.port,
  database: 'postgres',
  username: 'postgres',
  password: PASSWORD,
  pool: { poolMode: 'transaction', minConnections: 0 },
  ...changes,
});

/** Runs `work` with a proxy of these settings. */
async function withProxy(
  env: Readonly<Record<string, string>>,
  served: TestTenant,
  work: (proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const proxy = await TestProxy.start({ tenants: [served], env });
  try {
    await work(proxy);
  } finally {
    await proxy.stop();
  }
}

async function answer(client: RawClient, sql: string): Promise<string[]> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'));
}

/** What a refused client reads. */
async function refusal(client: RawClient): Promise<string> {
  const error = (await client.until('E')).at(-1);
  await client.closed();
  assert.ok(error !== undefined, 'an error came before the end');
  const { C, M } = fields(error);
  return `${C}: ${M}`;
}

describe('a socket file', () => {
  it('serves psql, has its permissions, and is gone with the proxy', async () => {
    const env = { DBBOUNCER_UNIX_SOCKET_DIR: folder, DBBOUNCER_UNIX_SOCKET_MODE: '0700' };
    let path = '';
    await withProxy(env, tenant({ access: [{ action: 'allow', from: 'unix' }] }), async (proxy) => {
      path = join(folder, `.s.PGSQL.${proxy.port}`);
      assert.equal(statSync(path).mode & 0o777, 0o700);
      const args = ['-h', folder, '-p', String(proxy.port), '-U', 'postgres', '-d', 'acme'];
      const sql = ['-XAtc', 'SELECT 40 + 2'];
      const { stdout } = await run('psql', [...args, ...sql], {
        env: { PATH: process.env['PATH'], PGPASSWORD: PASSWORD },
      });
      assert.equal(stdout, '42\n');
      await assert.rejects(RawClient.login(proxy, login), /28000: no access rule allows/);
    });
    assert.equal(existsSync(path), false);
  });
});

describe('an endpoint that is a folder', () => {
  it('is reached by its socket file, for queries and for cancels', async () => {
    const [row] = await cluster.sql('postgres', 'SHOW unix_socket_directories');
    const host = String(row?.['unix_socket_directories']);
    await withProxy({}, tenant({ host }), async (proxy) => {
      const client = await RawClient.login(proxy, login);
      assert.deepEqual(await answer(client, 'SELECT inet_client_addr() IS NULL'), ['t']);
      client.send(query("SELECT 'unix', pg_sleep(60)"));
      const canceller = await RawClient.connect(proxy);
      canceller.cancel(client.key());
      await canceller.closed();
      const codes = (await client.until('Z')).filter(({ type }) => type === 'E');
      assert.deepEqual(
        codes.map((message) => fields(message)['C']),
        ['57014'],
      );
      client.end();
      await proxy.atRest();
    });
  });
});

describe('a trusted load balancer', () => {
  const env = { DBBOUNCER_PROXY_PROTOCOL_FROM: '127.0.0.9, 10.0.0.0/8' };
  const fromBalancer = (proxy: TestProxy) =>
    RawClient.connect({ host: proxy.host, port: proxy.port, localAddress: '127.0.0.9' });
  const header = (client: string) => Buffer.from(`PROXY TCP4 ${client} 127.0.0.1 4711 6432\r\n`);
  const access: TestTenant['access'] = [{ action: 'allow', from: '192.0.2.0/24' }];

  it('tells whose connection it passes on, and rules hold for that client', async () => {
    await withProxy(env, tenant({ access }), async (proxy) => {
      const client = await fromBalancer(proxy);
      client.send(header('192.0.2.7'));
      await client.authenticate(login);
      assert.deepEqual(await answer(client, 'SELECT 1'), ['1']);
      client.end();
      const other = await fromBalancer(proxy);
      other.send(header('198.51.100.7'));
      await assert.rejects(other.authenticate(login), /28000: .* from 198\.51\.100\.7 without/);
      await proxy.atRest();
    });
  });

  it('may send header and startup in one piece, or the header byte by byte', async () => {
    await withProxy(env, tenant({ access }), async (proxy) => {
      const parameters = { user: 'postgres', database: 'acme' };
      const together = await fromBalancer(proxy);
      together.send(Buffer.concat([header('192.0.2.7'), startup(parameters)]));
      assert.equal((await together.next())?.type, 'R');
      together.destroy();
      const slow = await fromBalancer(proxy);
      for (const byte of header('192.0.2.7')) {
        slow.send(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await slow.authenticate(login);
      assert.deepEqual(await answer(slow, 'SELECT 1'), ['1']);
      slow.end();
      await proxy.atRest();
    });
  });

  it('is refused with 08P01 when it begins without a header, or sends none in time', async () => {
    const hurried = { ...env, DBBOUNCER_CLIENT_LOGIN_TIMEOUT: '300ms' };
    await withProxy(hurried, tenant(), async (proxy) => {
      const plain = await fromBalancer(proxy);
      plain.send(startup({ user: 'postgres', database: 'acme' }));
      assert.match(await refusal(plain), /^08P01: the connection does not begin with a PROXY/);
      const silent = await fromBalancer(proxy);
      silent.send(header('192.0.2.7').subarray(0, 20));
      assert.match(await refusal(silent), /^08P01: no PROXY protocol header within .* \(300 ms\)$/);
      const page = await (await fetch(proxy.metricsUrl)).text();
      assert.match(page, /dbbouncer_auth_failures_total\{reason="proxy_header"\} 2/);
    });
  });

  it('is the only one whose header is believed', async () => {
    await withProxy(env, tenant({ access }), async (proxy) => {
      const client = await RawClient.connect(proxy);
      client.send(header('192.0.2.7'));
      assert.match(await refusal(client), /^08P01: a PROXY protocol header, which only the addr/);
    });
  });

  it('that checks by connecting alone, or is gone, leaves nothing', async () => {
    await withProxy(env, tenant(), async (proxy) => {
      for (const bytes of [Buffer.alloc(0), Buffer.from('PROX')]) {
        const check = await fromBalancer(proxy);
        check.send(bytes);
        check.socket.end();
        await check.closed();
      }
      await proxy.atRest();
    });
  });
});
