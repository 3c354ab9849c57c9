/**
 * TLS with database servers: what each mode makes of each server, how certificates are checked on
 * either side, and what a client reads when it does not work.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import pg from 'pg';
import { Authority } from '../support/certificates.ts';
import type { KeyAndCertificate } from '../support/certificates.ts';
import { bytesReceived, externalGrowth } from '../support/memory.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import type { RawLogin } from '../support/raw-client.ts';
import { answerWith, manInTheMiddle, noteBeginnings } from '../support/relays.ts';
import type { Relay } from '../support/relays.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'server tls secret';
const SSL_REQUEST_CODE = 80_877_103;
const ROLES = ['app', 'tls_only', 'clear_only', 'certified'];
const HBA = [
  'hostnossl all tls_only 127.0.0.1/32 reject',
  'hostssl all clear_only 127.0.0.1/32 reject',
  'hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full',
];

/** What certificates there are, and where they stand. */
interface Material {
  readonly authority: Authority;
  readonly stranger: Authority;
  readonly client: KeyAndCertificate;
  /** The authority's, and one that is not there. */
  readonly caFile: string;
  readonly noFile: string;
}

type Place = 'secured' | 'expired' | 'plain' | 'relayed' | 'middle' | 'injecting' | 'refusing';

interface Case {
  readonly at: Place;
  readonly tls?: (material: Material) => NonNullable<TestTenant['serverTls']>;
  readonly host?: string;
  /** Default is `app`. */
  readonly user?: string;
}

/** Collected before the proxy starts: a tenant for each server and each way to reach it. */
const cases = new Map<string, Case>();
const clusters = new Map<Place, PostgresCluster>();
const relays = new Map<Place, Relay>();
let proxy: TestProxy;

function tenant(id: string, made: Case): string {
  cases.set(id, made);
  return id;
}

before(async () => {
  const [authority, stranger] = await Promise.all([
    Authority.create('Database authority'),
    Authority.create('Another authority'),
  ]);
  const names = { commonName: 'db.test', dnsNames: ['db.test'], ips: ['127.0.0.1'] };
  const good = await authority.issue(names);
  const old = await authority.issue({ ...names, validity: 'expired' });
  const common = { superuserPassword: 'super secret' };
  const [secured, expired, plain] = await Promise.all([
    startPostgresCluster({ ...common, tls: { ...good, clientCa: authority.cert }, hba: HBA }),
    startPostgresCluster({ ...common, tls: old }),
    startPostgresCluster(common),
  ]);
  clusters.set('secured', secured).set('expired', expired).set('plain', plain);
  for (const cluster of clusters.values()) {
    const roles = ROLES.map((role) => `CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}'`);
    await cluster.sql('postgres', roles.join(';'));
  }
  relays.set('relayed', await noteBeginnings(secured.port));
  relays.set('middle', await manInTheMiddle(secured.port, await stranger.issue(names)));
  relays.set('injecting', await answerWith(Buffer.from('SE')));
  relays.set('refusing', await answerWith(Buffer.from('Esomebody else was here\0')));
  const { path } = await scratchOfTest();
  const client = await authority.issue({ commonName: 'certified' });
  const caFile = join(path, 'database-ca.pem');
  writeFileSync(caFile, authority.cert);
  const noFile = join(path, 'not-there.pem');
  const material = { authority, stranger, client, caFile, noFile };
  proxy = await TestProxy.start({
    tenants: [...cases].map(([id, made]) => testTenant(id, made, material)),
    secrets: { CLIENT_KEY: client.key, OTHER_KEY: good.key },
  });
});
after(async () => {
  await proxy.stop();
  for (const relay of relays.values()) relay.close();
  await Promise.all([...clusters.values()].map((cluster) => cluster.stop()));
});

function testTenant(id: string, { at, tls, host, user }: Case, material: Material): TestTenant {
  return {
    id,
    port: (clusters.get(at) ?? relays.get(at))?.port ?? 0,
    database: 'postgres',
    username: user ?? 'app',
    password: PASSWORD,
    pool: { minConnections: 0, maxConnections: 1, poolMode: 'transaction' },
    ...(host === undefined ? {} : { host }),
    ...(tls === undefined ? {} : { serverTls: tls(material) }),
  };
}

function loginOf(id: string): RawLogin {
  return { user: cases.get(id)?.user ?? 'app', password: PASSWORD, database: id };
}

const ENCRYPTION = `SELECT CASE WHEN ssl THEN version ELSE 'clear' END FROM pg_stat_ssl
  WHERE pid = pg_backend_pid()`;

/** What the server says of the connection behind a client, or what the client reads instead. */
async function said(id: string): Promise<string> {
  const client = await RawClient.connect(proxy);
  try {
    await client.authenticate(loginOf(id));
    client.send(query(ENCRYPTION));
    return firstColumns(await client.until('Z')).join();
  } catch (error) {
    return (error as Error).message;
  } finally {
    client.destroy();
  }
}

/** One test for each: the mode, then what is said of it. */
function modes(at: Place, user: string, expected: Readonly<Record<string, string | RegExp>>): void {
  for (const [mode, answer] of Object.entries(expected)) {
    const verified = mode.startsWith('verify');
    const tls = ({ authority }: Material) => ({
      mode: mode as 'prefer',
      ...(verified && { ca: authority.cert }),
    });
    const id = tenant(`${at}-${user}-${mode}`.replaceAll('_', '-'), { at, user, tls });
    it(`${mode} ${typeof answer === 'string' ? `gives ${answer}` : 'is refused'}`, async () => {
      const words = await said(id);
      if (typeof answer === 'string') assert.equal(words, answer);
      else assert.match(words, answer);
    });
  }
}

describe('a server without TLS', () => {
  const none = /^08001: .* cannot be used: the server does not offer TLS$/;
  modes('plain', 'app', {
    disable: 'clear',
    allow: 'clear',
    prefer: 'clear',
    require: none,
    'verify-full': none,
  });
});

describe('a server with TLS', () => {
  modes('secured', 'app', {
    disable: 'clear',
    allow: 'clear',
    prefer: 'TLSv1.3',
    require: 'TLSv1.3',
    'verify-ca': 'TLSv1.3',
    'verify-full': 'TLSv1.3',
  });

  const silent = tenant('silent', { at: 'secured' });
  it('is spoken to by TLS when the tenant does not say', async () => {
    assert.equal(await said(silent), 'TLSv1.3');
  });
});

describe('a server that lets a user in by TLS alone', () => {
  const refused = /^28000: pg_hba.conf rejects connection .* no encryption$/;
  modes('secured', 'tls_only', { disable: refused, allow: 'TLSv1.3', prefer: 'TLSv1.3' });
});

describe('a server that lets a user in without TLS alone', () => {
  const refused = /^28000: pg_hba.conf rejects connection .* SSL encryption$/;
  modes('secured', 'clear_only', { allow: 'clear', prefer: 'clear', require: refused });
});

describe("a server's certificate", () => {
  const expired = /^08001: .* cannot be used: the server's certificate has expired$/;
  modes('expired', 'app', { require: 'TLSv1.3', 'verify-ca': expired });

  const verified = ({ authority }: Material) => authority.cert;
  const host = 'localhost';
  const byHost = tenant('by-host', {
    at: 'secured',
    host,
    tls: (material) => ({ mode: 'verify-full', ca: verified(material) }),
  });
  const byName = tenant('by-name', {
    at: 'secured',
    host,
    tls: (material) => ({ mode: 'verify-full', ca: verified(material), serverName: 'db.test' }),
  });
  const anyName = tenant('any-name', {
    at: 'secured',
    host,
    tls: (material) => ({ mode: 'verify-ca', ca: verified(material) }),
  });
  it('must be for the host, or for server_name, with verify-full', async () => {
    const words = /is not for "localhost", but for DNS:db.test, IP Address:127.0.0.1$/;
    assert.match(await said(byHost), words);
    assert.equal(await said(byName), 'TLSv1.3');
    assert.equal(await said(anyName), 'TLSv1.3');
  });

  const byFile = tenant('by-file', {
    at: 'secured',
    tls: ({ caFile }) => ({ mode: 'verify-full', ca: `file:${caFile}` }),
  });
  const noFile = tenant('no-file', {
    at: 'secured',
    tls: (material) => ({ mode: 'verify-full', ca: `file:${material.noFile}` }),
  });
  it('is checked by an authority in a file, which has to be there', async () => {
    assert.equal(await said(byFile), 'TLSv1.3');
    assert.match(await said(noFile), /^08001: .* its server_tls cannot be used: ENOENT/);
  });

  const strange = tenant('strange', {
    at: 'secured',
    tls: ({ stranger }) => ({ mode: 'verify-ca', ca: stranger.cert }),
  });
  const worldly = tenant('worldly', { at: 'secured', tls: () => ({ mode: 'verify-full' }) });
  it('must come from the authority of the tenant, or from a known one', async () => {
    for (const id of [strange, worldly]) {
      assert.match(await said(id), /^08001: .* comes from an authority that is not trusted$/);
    }
  });

  it('that is refused is told with a hint what to do', async () => {
    const client = new pg.Client({ host: proxy.host, port: proxy.port, ...loginOf(byHost) });
    await assert.rejects(client.connect(), {
      code: '08001',
      hint: 'Give the name in the certificate as server_tls.server_name of the tenant.',
    });
  });
});

describe("the proxy's own certificate", () => {
  const key = { kind: 'env', name: 'CLIENT_KEY' } as const;
  const own = tenant('own', {
    at: 'secured',
    user: 'certified',
    tls: ({ client }) => ({ mode: 'require', cert: client.cert, key }),
  });
  const none = tenant('none', {
    at: 'secured',
    user: 'certified',
    tls: () => ({ mode: 'require' }),
  });
  const mixed = tenant('mixed', {
    at: 'secured',
    tls: ({ client }) => ({
      mode: 'require',
      cert: client.cert,
      key: { kind: 'env', name: 'OTHER_KEY' },
    }),
  });
  const absent = tenant('absent', {
    at: 'secured',
    tls: ({ client }) => ({
      mode: 'require',
      cert: client.cert,
      key: { kind: 'env', name: 'NOT_SET' },
    }),
  });

  it('is shown to the server, which asks for it', async () => {
    assert.equal(await said(own), 'TLSv1.3');
    assert.match(await said(none), /^28000: connection requires a valid client certificate$/);
  });

  it('needs its own key', async () => {
    assert.match(await said(mixed), /^08001: .* its server_tls cannot be used: .*key values/);
    assert.match(
      await said(absent),
      /^28000: the server_tls.key of tenant "absent" is the variable/,
    );
  });
});

describe('somebody between proxy and server', () => {
  const middle = tenant('middle', { at: 'middle', tls: () => ({ mode: 'prefer' }) });
  it('is noticed by channel binding, unverified as it is, and gets no login in clear', async () => {
    assert.match(await said(middle), /SCRAM channel binding check failed/);
    assert.deepEqual(relays.get('middle')?.codes, [SSL_REQUEST_CODE]);
  });

  const injecting = tenant('injecting', { at: 'injecting', tls: () => ({ mode: 'require' }) });
  it('cannot put bytes in front of the encryption', async () => {
    assert.match(await said(injecting), /bytes followed the answer to the request for TLS/);
  });

  const refusing = tenant('refusing', { at: 'refusing', tls: () => ({ mode: 'require' }) });
  it('cannot have its own words shown to clients', async () => {
    const words = await said(refusing);
    assert.match(words, /the server answered the request for TLS with an error$/);
    assert.doesNotMatch(words, /somebody/);
  });
});

describe('a cancel request', () => {
  const relayed = tenant('relayed', { at: 'relayed', tls: () => ({ mode: 'require' }) });
  it('goes to the server by TLS as its connection did, and never in clear', async () => {
    const secured = clusters.get('secured');
    const codes = relays.get('relayed')?.codes;
    assert.ok(secured !== undefined && codes !== undefined);
    const client = await RawClient.login(proxy, loginOf(relayed));
    client.send(query('SELECT pg_sleep(60)'));
    await untilRunning(secured, 'pg_sleep(60)');
    const canceller = await RawClient.connect(proxy);
    canceller.cancel(client.key());
    const ended = (await client.until('Z')).find(({ type }) => type === 'E');
    assert.ok(ended !== undefined);
    assert.equal(fields(ended)['C'], '57014');
    client.end();
    assert.deepEqual(codes, [SSL_REQUEST_CODE, SSL_REQUEST_CODE]);
  });
});

describe('an encrypted server connection', () => {
  const large = tenant('large', { at: 'secured', tls: () => ({ mode: 'require' }) });
  it('waits for a client that does not read: 100 MB cost the proxy less than 20 MB', async () => {
    const client = await RawClient.login(proxy, loginOf(large));
    client.socket.pause();
    const grown = await externalGrowth(async () => {
      client.send(query(`SELECT repeat('x', 1000000) FROM generate_series(1, 100)`));
      await new Promise((resolve) => setTimeout(resolve, 700));
    });
    assert.ok(grown < 20, `${grown.toFixed(0)} MB`);
    await bytesReceived(client.socket, 100_000_000);
    client.end();
  });

  it('takes 20 MB in one statement and gives as much back', async () => {
    const client = await RawClient.login(proxy, loginOf(large));
    client.send(query(`SELECT length('${'y'.repeat(20_000_000)}')`));
    assert.deepEqual(firstColumns(await client.until('Z')), ['20000000']);
    client.send(query(`SELECT repeat('z', 20000000)`));
    assert.equal(firstColumns(await client.until('Z'))[0]?.length, 20_000_000);
    client.end();
  });
});
