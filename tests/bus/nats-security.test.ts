/** The NATS bus and servers that ask who it is, and prove who they are. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { bytes, Collector, text, uniqueName } from '@dbbouncer/shared/bus/support.contract.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import type { NatsBusOptions } from '@dbbouncer/shared/bus/nats-bus.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { LogFields } from '@dbbouncer/shared/kernel/log.ts';
import { Authority } from '../support/certificates.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { newNatsAccount, newNkeyUser } from '../support/nats-users.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { reached } from './nats-harness.ts';

let folder: string;
let authority: Authority;
let caFile: string;
const servers: NatsServer[] = [];
const buses: Bus[] = [];

before(async () => {
  folder = mkdtempSync(join((await scratchOfTest()).path, 'nats-security-'));
  authority = await Authority.create('nats authority');
  caFile = file('ca.pem', authority.cert);
});
after(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
  await Promise.all(servers.map((server) => server.stop()));
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

async function serverWith(config: string): Promise<NatsServer> {
  const server = await startNatsServer({ config });
  servers.push(server);
  return server;
}

let count = 0;
/** Proves to be 127.0.0.1; with `verify` it asks for a certificate too. */
async function tlsConfig({ verify }: { readonly verify: boolean }): Promise<string> {
  const own = await authority.issue({ commonName: 'nats', ips: ['127.0.0.1'] });
  const name = `server-${(count += 1)}`;
  const [cert, key] = [file(`${name}.crt`, own.cert), file(`${name}.key`, own.key)];
  const files = `cert_file: "${cert}", key_file: "${key}", ca_file: "${caFile}"`;
  return `tls { ${files}, verify: ${verify} }`;
}

/** A bus, and what it says of attempts that failed. */
function busOf(servers: string, options: Partial<NatsBusOptions> = {}) {
  const refusals = new Collector<LogFields>();
  const warn = (fields: LogFields, message: string) => {
    if (message === 'cannot connect to NATS') refusals.add(fields);
  };
  const log = { ...silentLogger, warn, child: () => log };
  const bus = connectNatsBus({ servers, name: 'test', reconnectDelayMs: 40, log, ...options });
  buses.push(bus);
  return { bus, refusals };
}

async function answersItself(bus: Bus): Promise<void> {
  await reached(bus, 'connected');
  const subject = uniqueName();
  bus.respond(subject, async (data) => data);
  assert.equal(text(await bus.request(subject, bytes('hello'), 5_000)), 'hello');
}

async function refusedFor(
  options: Partial<NatsBusOptions> & { readonly servers: string },
  reason: RegExp,
): Promise<LogFields> {
  const { bus, refusals } = busOf(options.servers, options);
  const [first = {}] = await refusals.first(1);
  assert.match(String(first['reason']), reason);
  assert.match(String(bus.problem), reason);
  assert.equal(bus.status, 'connecting');
  const operationTimeoutMs = 100;
  const { bus: waiting } = busOf(options.servers, { ...options, operationTimeoutMs });
  await reachedProblem(waiting);
  await assert.rejects(waiting.log({ stream: 'S', subject: 's' }).state(), { message: reason });
  return first;
}

/** Its first attempt has failed. */
async function reachedProblem(bus: Bus): Promise<void> {
  while (bus.problem === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('NatsBus and a server with TLS', { timeout: 30_000, concurrency: true }, () => {
  let server: NatsServer;
  let url: string;
  before(async () => {
    server = await serverWith(await tlsConfig({ verify: true }));
    url = `tls://127.0.0.1:${server.port}`;
  });
  const own = async () => {
    const { cert, key } = await authority.issue({ commonName: 'proxy' });
    const name = `own-${(count += 1)}`;
    return { certFile: file(`${name}.crt`, cert), keyFile: file(`${name}.key`, key) };
  };

  it('connects with the authority and a certificate of its own, and speaks', async () => {
    const tls = { caFile, ...(await own()) };
    await answersItself(busOf(url, { tls }).bus);
    const plainUrl = `nats://127.0.0.1:${server.port}`;
    await answersItself(busOf(plainUrl, { tls }).bus);
  });

  it('refuses a server whose authority it does not know, and says which setting', async () => {
    const other = await Authority.create('another authority');
    const tls = { caFile: file('other-ca.pem', other.cert), ...(await own()) };
    const said = await refusedFor({ servers: url, tls }, /not trusted: its authority is not known/);
    assert.match(String(said['hint']), /nats_tls_ca_file/);
    await refusedFor({ servers: url, tls: await own() }, /not trusted: its authority/);
  });

  it('refuses a server with a certificate for another name', async () => {
    const tls = { caFile, ...(await own()) };
    await refusedFor({ servers: `tls://localhost:${server.port}`, tls }, /is for another name/);
  });

  it('names the setting when a server that wants a certificate is silent for 3 s', async () => {
    const { refusals } = busOf(url, { tls: { caFile } });
    const [said = {}] = await refusals.first(1);
    assert.equal(said['reason'], 'the server does not answer');
    assert.match(String(said['hint']), /nats_tls_cert_file/);
  });

  it('refuses a server without TLS where tls:// or an authority is given', async () => {
    const plain = await serverWith('');
    const reason = /offers no TLS, which is asked for/;
    await refusedFor({ servers: `tls://127.0.0.1:${plain.port}` }, reason);
    const tls = { caFile };
    await refusedFor({ servers: plain.url, tls }, reason);
  });

  it('says why it does not come back to a server whose certificate has expired', async () => {
    const { cert, key } = await authority.issue({ commonName: 'nats', ips: ['127.0.0.1'] });
    const [certFile, keyFile] = [file('soon.crt', cert), file('soon.key', key)];
    const renewed = await serverWith(`tls { cert_file: "${certFile}", key_file: "${keyFile}" }`);
    const tls = { caFile };
    const { bus, refusals } = busOf(`tls://127.0.0.1:${renewed.port}`, { tls });
    await answersItself(bus);
    const validity = 'expired';
    const late = await authority.issue({ commonName: 'nats', ips: ['127.0.0.1'], validity });
    await renewed.stop();
    file('soon.crt', late.cert);
    file('soon.key', late.key);
    await renewed.start();
    await reached(bus, 'disconnected');
    // Timers of the bus do not keep a process alive; this test has to.
    const alive = setInterval(() => {}, 1_000);
    const reasons = (await refusals.first(1)).map(({ reason }) => reason);
    clearInterval(alive);
    assert.deepEqual(reasons, ["the server's certificate has expired"]);
  });
});

describe('NatsBus and a server with users', { timeout: 30_000, concurrency: true }, () => {
  it('logs in with the seed of a user key, and with the next once the file holds it', async () => {
    const [former, next, stranger] = [newNkeyUser(), newNkeyUser(), newNkeyUser()];
    const users = [former, next].map(({ publicKey }) => `{ nkey: ${publicKey} }`);
    const server = await serverWith(`authorization { users: [ ${users.join(', ')} ] }`);
    const path = file('user.nkey', `# made by nk\n${former.seed}\n`);
    const { bus } = busOf(server.url, { credentialsFile: { kind: 'nkey', path } });
    await answersItself(bus);
    file('user.nkey', `${next.seed}\n`);
    await server.kill();
    await reached(bus, 'disconnected');
    await server.start();
    await answersItself(bus);
    const strange = file('stranger.nkey', stranger.seed);
    const credentialsFile = { kind: 'nkey' as const, path: strange };
    const said = await refusedFor({ servers: server.url, credentialsFile }, /refuses the login/);
    assert.match(String(said['reason']), new RegExp(`nkey ${stranger.publicKey} of .*Authoriz`));
    assert.doesNotMatch(JSON.stringify(said), new RegExp(stranger.seed));
  });

  it('logs in with a creds file at a server that trusts its operator', async () => {
    const account = newNatsAccount();
    const server = await serverWith(account.serverConfig);
    const path = file('user.creds', account.newUserCreds());
    await answersItself(busOf(server.url, { credentialsFile: { kind: 'creds', path } }).bus);
    const other = file('other.creds', newNatsAccount().newUserCreds());
    const credentialsFile = { kind: 'creds' as const, path: other };
    await refusedFor({ servers: server.url, credentialsFile }, /refuses the login of nkey U/);
  });

  it('says that a cluster refuses it, whose servers tell of each other', async () => {
    const ports = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
    const routes = ports.map((port) => `"nats-route://127.0.0.1:${port}"`).join(', ');
    const user = newNkeyUser();
    const [server] = await Promise.all(
      ports.map((port, index) =>
        serverWith(`
          server_name: n${index}
          authorization { users: [ { nkey: ${user.publicKey} } ] }
          cluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }
        `),
      ),
    );
    const known = file('known.nkey', user.seed);
    const credentialsFile = { kind: 'nkey' as const, path: known };
    await answersItself(busOf(server?.url ?? '', { credentialsFile }).bus);
    await refusedFor({ servers: server?.url ?? '' }, /refuses the login of a client without cred/);
  });

  it('names the user of the URL that is refused, and not the password', async () => {
    const server = await startNatsServer({ login: { user: 'ada', password: 'right' } });
    servers.push(server);
    const url = `nats://ada:wr0ng-pw@127.0.0.1:${server.port}`;
    const said = await refusedFor({ servers: url }, /refuses the login of user "ada": Authoriz/);
    assert.doesNotMatch(JSON.stringify(said), /wr0ng-pw/);
  });
});
