/**
 * Clients under TLS: who may come in with which `tls_mode`, how TLS begins, certificates of both
 * sides, channel binding, and that an encrypted client is a client like any other.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { LogFields, Logger } from '@dbbouncer/shared/kernel/log.ts';
import { bytesReceived, externalGrowth } from '../support/memory.ts';
import { Authority } from '../support/certificates.ts';
import type { KeyAndCertificate } from '../support/certificates.ts';
import {
  errorText,
  firstColumns,
  query,
  RawClient,
  saslInitial,
  startup,
} from '../support/raw-client.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { directTls, requestTls, SSL_REQUEST } from '../support/tls-client.ts';

const PASSWORD = 'tls secret';
let cluster: PostgresCluster;
let folder: string;
let authority: Authority;
let stranger: Authority;
const proxies: TestProxy[] = [];

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: 'super secret' });
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  folder = join((await scratchOfTest()).path, 'tls');
  mkdirSync(folder);
  authority = await Authority.create('Test authority');
  stranger = await Authority.create('Another authority');
  writeFileSync(file('ca.pem'), authority.cert);
  writeFileSync(file('stranger.pem'), stranger.cert);
  const server = { commonName: 'proxy', dnsNames: ['localhost', '*.db.test'], ips: ['127.0.0.1'] };
  save('server', await authority.issue(server));
  save('app', await authority.issue({ commonName: 'app' }));
  save('acme-app', await authority.issue({ commonName: 'acme__app' }));
  save('other', await authority.issue({ commonName: 'somebody' }));
  save('expired', await authority.issue({ commonName: 'app', validity: 'expired' }));
  save('foreign', await stranger.issue({ commonName: 'app' }));
});
after(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await cluster.stop();
});

function file(name: string): string {
  return join(folder, name);
}

function save(name: string, { cert, key }: KeyAndCertificate): void {
  writeFileSync(file(`${name}.crt`), cert);
  writeFileSync(file(`${name}.key`), key);
  // libpq refuses a key that others can read.
  chmodSync(file(`${name}.key`), 0o600);
}

const SERVER = () => ({
  DBBOUNCER_TLS_CERT: file('server.crt'),
  DBBOUNCER_TLS_KEY: file('server.key'),
});

async function startProxy(
  env: Readonly<Record<string, string>>,
  log = silentLogger,
): Promise<TestProxy> {
  const app = { port: cluster.port, database: 'postgres', username: 'app', password: PASSWORD };
  const proxy = await TestProxy.start({
    tenants: [
      { id: 'acme', ...app },
      { id: 'globex', ...app },
    ],
    env,
    log,
  });
  proxies.push(proxy);
  return proxy;
}

/** What psql prints for `SELECT 1`, or its complaint on one line. */
function psql(proxy: TestProxy, conninfo: string): Promise<string> {
  const where = `host=localhost hostaddr=127.0.0.1 port=${proxy.port} user=app dbname=acme`;
  const env = { PATH: process.env['PATH'], PGPASSWORD: PASSWORD, HOME: folder };
  return new Promise((resolve) => {
    const args = ['-XAtc', 'SELECT 1', `${where} sslrootcert=${file('ca.pem')} ${conninfo}`];
    execFile('psql', args, { env, timeout: 20_000 }, (_error, stdout, stderr) => {
      resolve((stdout + stderr).trim().replaceAll(/\s+/g, ' '));
    });
  });
}
const certificate = (name: string) =>
  `sslcert=${file(`${name}.crt`)} sslkey=${file(`${name}.key`)}`;

describe('tls_mode', () => {
  const tls = /connections without TLS are refused/;
  const none = /server does not support SSL/;
  const missing = /connection requires a valid client certificate/;
  const modes: Readonly<Record<string, Readonly<Record<string, RegExp | '1'>>>> = {
    disable: { disable: '1', allow: '1', prefer: '1', require: none, 'verify-full': none },
    allow: { disable: '1', allow: '1', prefer: '1', require: '1', 'verify-full': '1' },
    require: { disable: tls, allow: '1', prefer: '1', require: '1', 'verify-full': '1' },
    'verify-ca': { disable: tls, prefer: missing, require: missing, 'verify-full': missing },
    'verify-full': { disable: tls, prefer: missing, require: missing, 'verify-full': missing },
  };
  for (const [mode, answers] of Object.entries(modes)) {
    it(`${mode} answers psql by its sslmode`, async () => {
      const proxy = await startProxy({
        ...SERVER(),
        DBBOUNCER_TLS_MODE: mode,
        DBBOUNCER_TLS_CLIENT_CA: mode.startsWith('verify') ? file('ca.pem') : '',
      });
      await Promise.all(
        Object.entries(answers).map(async ([sslmode, expected]) => {
          const said = await psql(proxy, `sslmode=${sslmode}`);
          if (typeof expected === 'string') assert.equal(said, expected, sslmode);
          else assert.match(said, expected, sslmode);
        }),
      );
    });
  }
});

describe('a TLS connection', () => {
  let proxy: TestProxy;
  before(async () => {
    proxy = await startProxy({ ...SERVER(), DBBOUNCER_SNI_SUFFIX: 'db.test' });
  });
  const options = () => ({ ca: authority.cert, servername: 'localhost' });
  const login = { user: 'app', password: PASSWORD };

  async function answersOver(socket: TLSSocket, database?: string): Promise<string[]> {
    const client = RawClient.over(socket);
    await client.authenticate({ ...login, ...(database === undefined ? {} : { database }) });
    client.send(query('SELECT 1'));
    const rows = firstColumns(await client.until('Z'));
    client.end();
    await client.closed();
    return rows;
  }

  it('binds the login to the channel when psql requires it', async () => {
    assert.equal(await psql(proxy, 'sslmode=verify-full channel_binding=require'), '1');
    assert.match(await psql(proxy, 'sslmode=disable channel_binding=require'), /channel binding/);
  });

  it('notices that somebody has taken the offer of channel binding away', async () => {
    const client = RawClient.over(await requestTls(proxy, options()));
    client.send(startup({ user: 'app', database: 'acme' }));
    const offer = await client.next();
    assert.equal(offer?.body.toString('utf8', 4), 'SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0');
    // "y": the client could bind, and was told that the server cannot.
    client.send(saslInitial('y,,n=,r=abcdefghijklmnopqrstuvwx'));
    const refusal = await client.next();
    assert.ok(refusal !== undefined);
    assert.match(errorText(refusal), /^08P01: .* the offer of channel binding did not arrive/);
    await client.closed();
  });

  it('binds to certificates signed by RSA, RSA-PSS or ECDSA with SHA-256 to SHA-512', async () => {
    const cases = [
      ['rsa', 'SHA-256'],
      ['rsa', 'SHA-512'],
      ['rsa-pss', 'SHA-384'],
      ['ecdsa', 'SHA-384'],
    ] as const;
    for (const [kind, digest] of cases) {
      const signer = await Authority.create(`${kind} ${digest}`, kind);
      save('signed', await signer.issue({ commonName: 'proxy', digest }));
      const [cert, key] = [file('signed.crt'), file('signed.key')];
      const other = await startProxy({ DBBOUNCER_TLS_CERT: cert, DBBOUNCER_TLS_KEY: key });
      const said = await psql(other, "sslmode=require sslrootcert='' channel_binding=require");
      assert.equal(said, '1', `${kind} ${digest}`);
    }
  });

  it('offers no binding to a certificate that cannot be bound to; no client minds', async () => {
    const signer = await Authority.create('Ed25519', 'ed25519');
    save('edwards', await signer.issue({ commonName: 'proxy' }));
    const [cert, key] = [file('edwards.crt'), file('edwards.key')];
    const other = await startProxy({ DBBOUNCER_TLS_CERT: cert, DBBOUNCER_TLS_KEY: key });
    assert.equal(await psql(other, "sslmode=require sslrootcert=''"), '1');
    const demanding = "sslmode=require sslrootcert='' channel_binding=require";
    assert.match(await psql(other, demanding), /channel binding/);
  });

  it('begins directly with ALPN "postgresql", or after an SSLRequest without it', async () => {
    const direct = await directTls(proxy, { ...options(), ALPNProtocols: ['postgresql'] });
    assert.equal(direct.alpnProtocol, 'postgresql');
    assert.deepEqual(await answersOver(direct, 'acme'), ['1']);
    assert.deepEqual(await answersOver(await requestTls(proxy, options()), 'acme'), ['1']);
  });

  it('is refused directly without ALPN, and with another protocol in either way', async () => {
    const client = RawClient.over(await directTls(proxy, options()));
    const refusal = await client.next();
    assert.ok(refusal !== undefined);
    assert.match(errorText(refusal), /^08P01: a direct TLS connection must name the protocol/);
    await client.closed();
    const other = { ...options(), ALPNProtocols: ['http/1.1'] };
    await assert.rejects(directTls(proxy, other), /no application protocol/);
    await assert.rejects(requestTls(proxy, other), /no application protocol/);
  });

  it('speaks TLS 1.2 with forward secrecy, and nothing older', async () => {
    const socket = await requestTls(proxy, { ...options(), maxVersion: 'TLSv1.2' });
    assert.match(socket.getCipher().name, /^ECDHE-.*(GCM|POLY1305)/);
    socket.destroy();
    const old = {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    } as const;
    await assert.rejects(requestTls(proxy, { ...options(), ...old }), /alert protocol version/);
  });

  it('selects the tenant by its server name, which must agree with the user name', async () => {
    const acme = { ...options(), servername: 'acme.db.test' };
    assert.deepEqual(await answersOver(await requestTls(proxy, acme)), ['1']);
    const client = RawClient.over(await requestTls(proxy, acme));
    const conflict = client.authenticate({ ...login, user: 'globex__app' });
    await assert.rejects(conflict, /28P01: password authentication failed for user "globex__app"/);
    const both = RawClient.over(await requestTls(proxy, acme));
    const parameters = { tenant_id: 'globex' };
    await assert.rejects(
      both.authenticate({ ...login, parameters }),
      /28000: the login names diff/,
    );
  });

  it('is refused when bytes follow the SSLRequest before its answer', async () => {
    const client = await RawClient.connect(proxy);
    client.send(Buffer.concat([SSL_REQUEST, startup({ user: 'app', database: 'acme' })]));
    const refusal = await client.next();
    assert.ok(refusal !== undefined);
    assert.match(errorText(refusal), /^08P01: bytes follow a request for encryption/);
    await client.closed();
  });

  it('ends with the handshake when what follows the SSLRequest is no TLS', async () => {
    const socket = connect({ host: proxy.host, port: proxy.port });
    socket.write(SSL_REQUEST);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'S');
    socket.on('error', () => {});
    socket.resume();
    socket.write('this is no handshake at all');
    await once(socket, 'close');
    await proxy.atRest();
  });

  it('begins behind the header of a load balancer, directly and by request', async () => {
    const balanced = await startProxy({ ...SERVER(), DBBOUNCER_PROXY_PROTOCOL_FROM: '127.0.0.1' });
    const header = Buffer.from('PROXY TCP4 10.1.2.3 10.0.0.1 1111 5432\r\n');
    for (const before of [header, Buffer.concat([header, SSL_REQUEST])]) {
      const socket = connect({ host: balanced.host, port: balanced.port });
      socket.write(before);
      if (before !== header) await once(socket, 'data');
      const ALPNProtocols = ['postgresql'];
      const secure = connectTls({ ...options(), ALPNProtocols, socket });
      await once(secure, 'secureConnect');
      assert.deepEqual(await answersOver(secure, 'acme'), ['1']);
    }
  });

  it('is not asked of clients at a socket file, nor offered there', async () => {
    const proxy = await startProxy({
      ...SERVER(),
      DBBOUNCER_TLS_MODE: 'require',
      DBBOUNCER_UNIX_SOCKET_DIR: folder,
    });
    assert.equal(await psql(proxy, `host=${folder} hostaddr='' sslmode=prefer`), '1');
    const socket = connect(join(folder, `.s.PGSQL.${proxy.port}`));
    socket.write(SSL_REQUEST);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'N');
    socket.destroy();
  });

  it('that never gets beyond its handshake ends after client_login_timeout', async () => {
    const impatient = await startProxy({ ...SERVER(), DBBOUNCER_CLIENT_LOGIN_TIMEOUT: '300ms' });
    const socket = connect({ host: impatient.host, port: impatient.port });
    socket.write(SSL_REQUEST);
    await once(socket, 'data');
    // The beginning of a handshake, and no more.
    socket.write(Buffer.from([0x16, 3, 1, 2, 0]));
    await once(socket, 'close');
    await impatient.atRest();
  });

  it('is counted: encrypted clients, handshakes, failures by reason', async () => {
    const client = RawClient.over(await requestTls(proxy, options()));
    const page = await (await fetch(proxy.metricsUrl)).text();
    client.destroy();
    assert.match(page, /^dbbouncer_tls_clients 1$/m);
    assert.match(page, /^dbbouncer_tls_handshakes_total ([1-9]\d*)$/m);
    assert.match(page, /^dbbouncer_tls_handshake_failures_total\{reason="protocol"\} 2$/m);
    assert.match(page, /^dbbouncer_tls_handshake_failures_total\{reason="version"\} 1$/m);
    assert.match(page, /^dbbouncer_tls_handshake_failures_total\{reason="malformed"\} 1$/m);
    assert.match(page, /^dbbouncer_tls_certificate_not_after_seconds 1\d{9}$/m);
    await proxy.atRest();
  });
});

describe('client certificates', () => {
  const verify = (more: Readonly<Record<string, string>> = {}) =>
    startProxy({
      ...SERVER(),
      DBBOUNCER_TLS_MODE: 'verify-full',
      DBBOUNCER_TLS_CLIENT_CA: file('ca.pem'),
      ...more,
    });
  const guess = 'password=guess';

  it('must be valid, of a known authority, and name the user', async () => {
    const proxy = await verify();
    const said = (name: string) => psql(proxy, `sslmode=require ${certificate(name)}`);
    assert.equal(await said('app'), '1');
    assert.equal(await said('acme-app'), '1');
    assert.match(await said('other'), /certificate authentication failed for user "app"/);
    assert.match(await said('expired'), /not valid DETAIL: CERT_HAS_EXPIRED/);
    assert.match(await said('foreign'), /not valid DETAIL: UNABLE_TO_/);
    const wrong = await psql(proxy, `sslmode=require ${certificate('app')} ${guess}`);
    assert.match(wrong, /password authentication failed/);
  });

  it('with verify-ca may name anybody, and the password decides', async () => {
    const proxy = await verify({ DBBOUNCER_TLS_MODE: 'verify-ca' });
    assert.equal(await psql(proxy, `sslmode=require ${certificate('other')}`), '1');
  });

  it('log a user in without its password only when they name the tenant too', async () => {
    const proxy = await verify({ DBBOUNCER_TLS_CLIENT_CERT_LOGIN: 'true' });
    assert.equal(await psql(proxy, `sslmode=require ${certificate('acme-app')} ${guess}`), '1');
    // Globex has a user of that name as well.
    const bare = await psql(proxy, `sslmode=require ${certificate('app')} ${guess}`);
    assert.match(bare, /password authentication failed/);
    const others = `sslmode=require ${certificate('acme-app')} ${guess} dbname=globex`;
    assert.match(await psql(proxy, others), /certificate authentication failed/);
  });

  it('stand for the users that tls_client_cert_users gives them', async () => {
    const proxy = await verify({
      DBBOUNCER_TLS_CLIENT_CERT_LOGIN: 'true',
      DBBOUNCER_TLS_CLIENT_CERT_USERS: 'somebody=acme__app, acme__app=globex__app',
    });
    const said = (name: string, database: string) =>
      psql(proxy, `sslmode=require ${certificate(name)} ${guess} dbname=${database}`);
    assert.equal(await said('other', 'acme'), '1');
    assert.match(await said('other', 'globex'), /certificate authentication failed/);
    assert.equal(await said('acme-app', 'globex'), '1');
    assert.match(await said('acme-app', 'acme'), /certificate authentication failed/);
  });

  it('are looked at where tls_mode only allows them, when one is shown', async () => {
    const proxy = await verify({
      DBBOUNCER_TLS_MODE: 'allow',
      DBBOUNCER_TLS_CLIENT_CERT_LOGIN: 'true',
    });
    assert.equal(await psql(proxy, 'sslmode=require'), '1');
    assert.equal(await psql(proxy, 'sslmode=disable'), '1');
    assert.equal(await psql(proxy, `sslmode=require ${certificate('acme-app')} ${guess}`), '1');
    assert.match(await psql(proxy, `sslmode=require ${certificate('expired')}`), /not valid/);
  });
});

describe('changed certificate files', () => {
  it('are shown to new clients; a pair that does not fit is not, and sessions go on', async () => {
    const issue = (dnsName: string) => authority.issue({ commonName: 'p', dnsNames: [dnsName] });
    const [first, second, third] = await Promise.all(['one', 'two', 'three'].map(issue));
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    save('changing', first);
    const told = new Map<string, () => void>();
    const log: Logger = Object.freeze({
      ...silentLogger,
      child: () => log,
      info: (_fields: LogFields, text: string) => told.get(text)?.(),
      warn: (_fields: LogFields, text: string) => told.get(text)?.(),
    });
    const hears = (text: string) => new Promise<void>((resolve) => void told.set(text, resolve));
    const proxy = await startProxy(
      { DBBOUNCER_TLS_CERT: file('changing.crt'), DBBOUNCER_TLS_KEY: file('changing.key') },
      log,
    );
    const connectAs = (servername: string) =>
      requestTls(proxy, { ca: authority.cert, servername, ALPNProtocols: ['postgresql'] });
    const client = RawClient.over(await connectAs('one'));
    await client.authenticate({ user: 'app', password: PASSWORD, database: 'acme' });

    const refused = hears('new TLS files refused; what was loaded before stays in use');
    writeFileSync(file('changing.crt'), second.cert);
    await refused;
    (await connectAs('one')).destroy();

    const loaded = hears('TLS files loaded anew');
    writeFileSync(file('changing.key'), second.key);
    await loaded;
    (await connectAs('two')).destroy();
    await assert.rejects(connectAs('one'), /does not match certificate's altnames/);
    client.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
    // The channel binding is to the new certificate.
    const bound = psql(proxy, 'sslmode=verify-ca channel_binding=require');
    assert.equal(await bound, '1');
    client.end();
  });
});

describe('an encrypted client that does not read', () => {
  it('makes the server wait: 300 MB of result cost the proxy less than 20 MB', async () => {
    const proxy = await startProxy(SERVER());
    const socket = await requestTls(proxy, { ca: authority.cert, servername: 'localhost' });
    const client = RawClient.over(socket);
    await client.authenticate({ user: 'app', password: PASSWORD, database: 'acme' });
    socket.pause();
    const grown = await externalGrowth(async () => {
      client.send(query(`SELECT repeat('x', 1000000) FROM generate_series(1, 300)`));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    });
    assert.ok(grown < 20, `${grown.toFixed(0)} MB`);

    const other = RawClient.over(await requestTls(proxy, { ca: authority.cert }));
    await other.authenticate({ user: 'app', password: PASSWORD, database: 'acme' });
    other.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await other.until('Z')), ['1']);
    other.end();
    await bytesReceived(socket, 300_000_000);
    client.end();
    await proxy.atRest();
  });

  it('while it sends: 40 MB of statements and of replies pass without a deadlock', async () => {
    const proxy = await startProxy({ ...SERVER(), DBBOUNCER_TLS_MODE: 'require' });
    const socket = await requestTls(proxy, { ca: authority.cert });
    const client = RawClient.over(socket);
    await client.authenticate({ user: 'app', password: PASSWORD, database: 'acme' });
    // Pipelined as a driver may: requests go out while nobody reads the replies.
    const value = 'y'.repeat(1_000_000);
    socket.pause();
    for (let i = 0; i < 40; i++) client.send(query(`SELECT '${value}'`));
    const received = bytesReceived(socket, 40_000_000);
    await received;
    client.end();
    await proxy.atRest();
  });
});
