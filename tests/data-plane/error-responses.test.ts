/**
 * Every error of the catalogue as a client reads it: severity twice, SQLSTATE, message, detail with
 * the code, hint. A code that has no entry here does not compile.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import { proxyErrors } from '@dbbouncer/data-plane/errors.ts';
import type { ProxyErrorCode } from '@dbbouncer/data-plane/errors.ts';
import {
  encodePostgresError,
  SQLSTATE_BY_CODE,
} from '@dbbouncer/data-plane/session/client-error.ts';
import {
  deriveKeys,
  formatVerifier,
  verifierFromKeys,
} from '@dbbouncer/data-plane/wire/postgres/scram.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { untilWaiting } from '../support/proxy-metrics.ts';
import { fields, frame, parse, query, RawClient, sync } from '../support/raw-client.ts';
import type { RawLogin, RawMessage } from '../support/raw-client.ts';
import { noteBeginnings } from '../support/relays.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'response secret';
const TIME_MS = 60;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

// ---- ways to provoke them ----

function tenant(changes: Partial<TestTenant> = {}, pool: PoolOverrides = {}): TestTenant {
  const login = { port: cluster.port, username: 'postgres', password: PASSWORD };
  const settings = { poolMode: 'transaction', minConnections: 0, ...pool } as const;
  return { id: 'acme', database: 'postgres', ...login, ...changes, pool: settings };
}

const connect = (login: Partial<RawLogin> = {}, to: { host: string; port: number } = proxy) =>
  RawClient.login(to, { user: 'postgres', password: PASSWORD, database: 'acme', ...login });

/** A client of a tenant that is set up like this. */
async function clientOf(changes: Partial<TestTenant> = {}, pool: PoolOverrides = {}) {
  await proxy.setTenant(tenant(changes, pool));
  return connect();
}

/** The next error that a client reads. */
async function told(client: RawClient): Promise<RawMessage> {
  const error = (await client.until('E')).at(-1);
  assert.ok(error?.type === 'E', 'an error came before the end');
  return error;
}

/** What somebody reads who is not let in. */
async function refused(login: Promise<RawClient>): Promise<RawMessage> {
  const failure = await login.then(
    () => assert.fail('the login went through'),
    (error: unknown) => (error as Error).cause as RawMessage,
  );
  assert.equal(failure?.type, 'E');
  return failure;
}

const refusedBy =
  (changes: Partial<TestTenant>, login: Partial<RawLogin> = {}) =>
  async () => {
    await proxy.setTenant(tenant(changes));
    return refused(connect(login));
  };

/** What a client reads after `act`, which follows its statement. */
async function afterwards(client: RawClient, sql: string, act: () => Promise<void>) {
  client.send(query(sql));
  await client.until('Z');
  await act();
  return told(client);
}

async function throughProxy(
  env: Readonly<Record<string, string>>,
  use: (other: TestProxy) => Promise<RawMessage>,
): Promise<RawMessage> {
  const other = await TestProxy.start({ tenants: [tenant()], env });
  try {
    return await use(other);
  } finally {
    await other.stop();
  }
}

/** What a client reads that has to wait behind another one. */
async function inLine(pool: PoolOverrides, act: (client: RawClient) => Promise<void>) {
  const holder = await clientOf({}, { maxConnections: 1, ...pool });
  holder.send(query('BEGIN; SELECT 1'));
  await holder.until('Z');
  const client = await connect();
  client.send(query('SELECT 1'));
  await act(client);
  const error = await told(client);
  holder.end();
  client.end();
  return error;
}

async function verifierOf(password: string): Promise<string> {
  const salt = Buffer.from('a salt of our own');
  return formatVerifier(verifierFromKeys(await deriveKeys(password, salt, 4096), salt, 4096));
}

async function withoutConfig(): Promise<RawMessage> {
  const dir = await mkdtemp(join(tmpdir(), 'dbb-no-config-'));
  const bus = createMemoryBus();
  const { settings } = resolveSettings({
    flags: { dataDir: dir, host: '127.0.0.1', postgresPort: '0', metricsPort: '0' },
    env: { DBBOUNCER_MASTER_KEY: 'a master key for tests only' },
    cwd: dir,
  });
  const busReach = 'private' as const;
  const surroundings = { bus, busReach, clock: systemClock, log: silentLogger, version: 'test' };
  const bare = await startProxy(settings, { ...surroundings, readEnv: () => undefined });
  try {
    return await refused(connect({}, { host: '127.0.0.1', port: bare.postgresPort }));
  } finally {
    await bare.stop();
    await bus.close();
    await rm(dir, { recursive: true });
  }
}

// ---- the catalogue ----

/** Where else it is seen on the wire, or why it is not. */
type Elsewhere = { readonly file: string; readonly test: string } | { readonly never: string };
type Provocation = () => Promise<RawMessage>;

const SEEN: Readonly<Record<ProxyErrorCode, Provocation | Elsewhere>> = {
  PROTOCOL_VIOLATION: async () => {
    const client = await clientOf();
    client.send(frame('~', Buffer.alloc(0)));
    return told(client);
  },
  PROXY_HEADER_INVALID: () =>
    throughProxy({ DBBOUNCER_PROXY_PROTOCOL_FROM: '127.0.0.0/8' }, (other) =>
      refused(connect({}, other)),
    ),
  UNSUPPORTED: refusedBy({}, { parameters: { replication: 'true' } }),
  LOGIN_TIMEOUT: () =>
    throughProxy({ DBBOUNCER_CLIENT_LOGIN_TIMEOUT: '100ms' }, async (other) =>
      told(await RawClient.connect(other)),
    ),
  AUTH_FAILED: refusedBy({}, { password: 'wrong' }),
  ACCESS_REFUSED: refusedBy({ access: [{ action: 'deny', from: 'all' }] }),
  TLS_REQUIRED: {
    file: 'tests/data-plane/tls.test.ts',
    test: 'is refused when bytes follow the SSLRequest before its answer',
  },
  CERTIFICATE_REFUSED: {
    file: 'tests/data-plane/tls.test.ts',
    test: 'must be valid, of a known authority, and name the user',
  },
  LOGIN_THROTTLED: {
    file: 'tests/data-plane/login-throttle.test.ts',
    test: '20 wait at once; the 21st reads 53300 and when to come again',
  },
  USER_LOOKUP_FAILED: refusedBy(
    { authQuery: { user: 'postgres', password: PASSWORD, query: 'SELECT $1::text FROM nowhere' } },
    { user: 'carol' },
  ),
  SELECTOR_CONFLICT: async () => {
    await proxy.setTenant(tenant({ id: 'globex' }));
    await proxy.setTenant(tenant());
    const options = '-c tenant_id=globex';
    return refused(connect({ parameters: { tenant_id: 'acme', options } }));
  },
  DATABASE_NOT_LISTED: refusedBy({}, { user: 'acme__postgres', database: 'absent' }),
  PARAMETER_REFUSED: refusedBy({}, { parameters: { work_mem: 'plenty' } }),
  PREPARED_LIMIT: async () => {
    const client = await clientOf({}, { maxClientPreparedStatements: 1 });
    const both = [parse('SELECT 1', 'one'), parse('SELECT 2', 'two'), sync()];
    client.send(Buffer.concat(both));
    const error = await told(client);
    client.end();
    return error;
  },
  TENANT_REMOVED: async () =>
    afterwards(await clientOf(), 'SELECT 1', () => proxy.removeTenant('acme')),
  TENANT_PAUSED: async () => {
    const client = await clientOf({}, { pauseWaitTimeoutMs: TIME_MS });
    await proxy.operate('acme', 'pause');
    client.send(query('SELECT 1'));
    const error = await told(client);
    client.end();
    return error;
  },
  TENANT_DRAINING: async () => {
    await proxy.setTenant(tenant());
    await proxy.operate('acme', 'drain');
    return refused(connect());
  },
  TENANT_DRAINED: async () =>
    afterwards(await clientOf(), 'SELECT 1', () => proxy.operate('acme', 'drain')),
  CLIENTS_KILLED: async () =>
    afterwards(await clientOf(), 'BEGIN', () => proxy.operate('acme', 'kill')),
  CLIENT_KILLED: {
    file: 'tests/fleet/clients.test.ts',
    test: 'ends the one client with 57P01, what it does on the server too, and no other',
  },
  CLIENT_IDLE_TIMEOUT: async () => told(await clientOf({}, { clientIdleTimeoutMs: TIME_MS })),
  IDLE_IN_TRANSACTION_TIMEOUT: async () =>
    afterwards(
      await clientOf({}, { idleInTransactionTimeoutMs: TIME_MS }),
      'BEGIN',
      async () => {},
    ),
  TRANSACTION_TIMEOUT: async () =>
    afterwards(await clientOf({}, { transactionTimeoutMs: TIME_MS }), 'BEGIN', async () => {}),
  QUERY_TIMEOUT: async () => {
    const client = await clientOf({}, { queryTimeoutMs: TIME_MS });
    client.send(query('SELECT pg_sleep(60)'));
    const error = await told(client);
    client.end();
    return error;
  },
  SLOW_CLIENT: { never: 'it has left a row unread of which it has got a part, mostly' },
  SECRET_UNAVAILABLE: refusedBy({
    serverTls: { mode: 'require', cert: 'none', key: { kind: 'env', name: 'NOT_SET' } },
  }),
  USER_REMOVED: async () => {
    await proxy.setTenant(tenant({ users: [{ name: 'report', password: 'report pw' }] }));
    await cluster.sql('postgres', `CREATE ROLE report LOGIN PASSWORD 'report pw'`);
    const client = await connect({ user: 'report', password: 'report pw' });
    return afterwards(client, 'SELECT 1', () => proxy.setTenant(tenant({ users: [] })));
  },
  WAITING_FOR_LOGIN: async () => {
    const serverPassword = await verifierOf(PASSWORD);
    const user = { name: 'batch', password: 'pw', serverUser: 'postgres', serverPassword };
    await proxy.setTenant(tenant({ users: [user] }));
    return refused(connect({ user: 'batch', password: 'pw' }));
  },
  CREDENTIAL_UNFIT: async () => refusedBy({ password: await verifierOf(PASSWORD) })(),
  CLEARTEXT_REFUSED: {
    file: 'tests/data-plane/server-auth.test.ts',
    test: 'is not given it unless server_cleartext says anywhere',
  },
  NO_CONFIG: withoutConfig,
  CLIENT_LIMIT: async () => {
    const client = await clientOf({}, { maxClientConnections: 1 });
    const error = await refused(connect());
    client.end();
    return error;
  },
  POOL_ACQUIRE_TIMEOUT: () => inLine({ acquireTimeoutMs: TIME_MS }, async () => {}),
  POOL_QUEUE_FULL: {
    never: '10,000 clients would have to wait; pool.test.ts refuses the 4th of 3',
  },
  UPSTREAM_UNREACHABLE: refusedBy({ port: 1 }),
  UPSTREAM_TLS_FAILED: refusedBy({ serverTls: { mode: 'require' } }),
  UPSTREAM_REFUSED: refusedBy({ initSql: 'SELECT nonsense' }),
  LISTEN_LIMIT: async () => {
    const client = await clientOf();
    client.send(query(Array.from({ length: 2_001 }, (_, i) => `LISTEN c${i}`).join(';')));
    const error = await told(client);
    client.end();
    return error;
  },
  LISTEN_REFUSED: { never: 'only a standby server refuses LISTEN' },
  NOTIFICATION_BACKLOG: async () => {
    const client = await clientOf();
    client.send(Buffer.concat([query('LISTEN c'), query('BEGIN')]));
    for (let answers = 0; answers < 2; answers++) await client.until('Z');
    await cluster.sql(
      'postgres',
      `SELECT pg_notify('c', i::text) FROM generate_series(1, 10001) AS i`,
    );
    return told(client);
  },
  LISTENER_LOST: async () =>
    afterwards(await clientOf(), 'LISTEN c', async () => {
      const others = `application_name LIKE 'dbb:%'`;
      const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others}`;
      await cluster.sql('postgres', sql);
    }),
  UPSTREAM_LOST: async () => {
    const relay = await noteBeginnings(cluster.port);
    const client = await clientOf({ port: relay.port });
    return afterwards(client, 'BEGIN; SELECT 1', async () => relay.close());
  },
  CANCELLED: () =>
    inLine({}, async (client) => {
      await untilWaiting(proxy, 1);
      const canceller = await RawClient.connect(proxy);
      canceller.cancel(client.key());
    }),
  INTERNAL: { never: 'only a defect raises it' },
  TRANSACTION_ABORTED: {
    file: 'tests/data-plane/lazy-begin.test.ts',
    test: 'is in a failed transaction until it rolls back, when a cancel ends its wait',
  },
  SHUTTING_DOWN: () =>
    throughProxy({}, async (other) => {
      const client = await connect({}, other);
      void other.stop();
      return told(client);
    }),
};

/** The database's own words come with its own SQLSTATE. */
const SQLSTATE_OF_DATABASE: Readonly<Partial<Record<ProxyErrorCode, string>>> = {
  PARAMETER_REFUSED: '22023',
  UPSTREAM_REFUSED: '42703',
};

function assertComplete(error: RawMessage, code: ProxyErrorCode, sqlState: string): void {
  const { S, V, C, M, D, H } = fields(error);
  assert.ok(S === 'ERROR' || S === 'FATAL');
  assert.equal(V, S);
  assert.equal(C, sqlState);
  assert.match(M ?? '', /\w/);
  assert.match(D ?? '', new RegExp(`^(?:.+ \\(DBBouncer: ${code}\\)|DBBouncer: ${code})$`, 's'));
  assert.match(H ?? '', /^[A-Z].*\.$/s);
}

describe('on the wire', () => {
  for (const [name, seen] of Object.entries(SEEN)) {
    if (typeof seen !== 'function') continue;
    const code = name as ProxyErrorCode;
    it(`${code} has severity, SQLSTATE, message, detail and hint`, async () => {
      assertComplete(await seen(), code, SQLSTATE_OF_DATABASE[code] ?? SQLSTATE_BY_CODE[code]);
    });
  }

  it('the others are seen where this file says', () => {
    for (const seen of Object.values(SEEN)) {
      if (typeof seen === 'function' || 'never' in seen) continue;
      assert.ok(readFileSync(seen.file, 'utf8').includes(`it('${seen.test}'`), seen.test);
    }
  });
});

describe('the catalogue', () => {
  it('gives each code severity, SQLSTATE, message, detail and hint', () => {
    for (const code of Object.keys(proxyErrors.specs) as ProxyErrorCode[]) {
      const body = encodePostgresError(proxyErrors.fail(code, 'words'), 'FATAL').subarray(5);
      assertComplete({ type: 'E', body }, code, SQLSTATE_BY_CODE[code]);
    }
  });

  it('keeps detail and hint of a failure that has its own', () => {
    const details = { detail: 'two of three', hint: 'Come back.' };
    const error = proxyErrors.fail('CLIENT_LIMIT', 'words', details);
    const body = encodePostgresError(error, 'ERROR').subarray(5);
    const { D, H } = fields({ type: 'E', body });
    assert.deepEqual([D, H], ['two of three (DBBouncer: CLIENT_LIMIT)', 'Come back.']);
  });
});
