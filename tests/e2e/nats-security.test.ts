/**
 * Both planes as processes on a NATS server as docs/security.md sets it up: TLS with client
 * certificates, a user key for each process, the grants of nats-grants.ts, and a key pair that
 * signs the config. All of it works with exactly these grants, and nothing else does.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { natsGrants, natsPermissionsText } from '@dbbouncer/shared/contract/nats-grants.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { Authority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { newNkeyUser } from '../support/nats-users.ts';
import { dbbouncer } from '../support/processes.ts';
import type { Program } from '../support/processes.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { ApiClient } from './api-client.ts';
import { answerWithin, refusesToListen, refusesToPublish } from './nats-refusals.ts';

const API_KEY = 'a-key-of-the-tests-0123456789';
const USERS = { 'control-plane': newNkeyUser(), 'eu-1': newNkeyUser(), 'eu-2': newNkeyUser() };
type User = keyof typeof USERS;

/** What a proxy's user must not do, whoever it pretends to be. */
const FORBIDDEN_TO_PUBLISH = [
  SUBJECTS.configDelta,
  SUBJECTS.event,
  SUBJECTS.report('eu-2' as never),
  SUBJECTS.probe('eu-2' as never),
  'dbbouncer.budget.grant.eu-1',
  'dbbouncer.budget.grant.eu-2',
  `$O.${SUBJECTS.snapshotBucket}.M.bGF0ZXN0`,
  `$JS.API.STREAM.INFO.${SUBJECTS.eventStream}`,
  `$JS.API.STREAM.MSG.GET.${SUBJECTS.eventStream}`,
  `$JS.API.DIRECT.GET.${SUBJECTS.eventStream}`,
  `$JS.API.CONSUMER.CREATE.${SUBJECTS.eventStream}.spy`,
  `$JS.API.CONSUMER.MSG.NEXT.${SUBJECTS.eventStream}.spy`,
  '$JS.API.STREAM.CREATE.MIRROR_OF_EVENTS',
  `$JS.API.STREAM.UPDATE.${SUBJECTS.configStream}`,
  `$JS.API.STREAM.DELETE.${SUBJECTS.configStream}`,
  `$JS.API.STREAM.PURGE.${SUBJECTS.configStream}`,
  `$JS.API.STREAM.PURGE.OBJ_${SUBJECTS.snapshotBucket}`,
];
const FORBIDDEN_TO_HEAR = [
  '>',
  'dbbouncer.>',
  SUBJECTS.reports,
  SUBJECTS.probe('eu-2' as never),
  SUBJECTS.configDelta,
  SUBJECTS.event,
  `${SUBJECTS.controlPlaneInbox}.>`,
];

let folder: string;
let nats: NatsServer;
let cluster: PostgresCluster;
let tls: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
const running: Program[] = [];

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

async function natsConfig(authority: Authority): Promise<string> {
  const { cert, key } = await authority.issue({ commonName: 'nats', ips: ['127.0.0.1'] });
  const files = [
    `cert_file: "${file('server.pem', cert)}"`,
    `key_file: "${file('server-key.pem', key)}"`,
    `ca_file: "${tls.caFile}"`,
  ];
  const users = Object.entries(USERS).map(([name, { publicKey }]) => {
    const plane = name === 'control-plane' ? 'control_plane' : 'proxy';
    const permissions = natsPermissionsText(natsGrants(plane, name));
    return `{ nkey: ${publicKey}, permissions: ${permissions} }`;
  });
  const authorization = `authorization { users: [\n${users.join('\n')}\n] }`;
  return `tls { ${files.join('\n')}\nverify: true }\n${authorization}`;
}

/** A connection as that user, past the product. */
async function connectedAs(user: User, inboxPrefix: string): Promise<NatsConnection> {
  const authenticator = nkeyAuthenticator(Buffer.from(USERS[user].seed));
  // Its certificate is for the address, which the client itself has no name of.
  const options = { ...tls, checkServerIdentity: () => undefined };
  const servers = `127.0.0.1:${nats.port}`;
  return await connect({ servers, authenticator, tls: options, inboxPrefix });
}

function start(
  user: User,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  data: string = user,
) {
  const own = ['--host', '127.0.0.1', '--data-dir', join(folder, data), '--log-level', 'debug'];
  const program = dbbouncer([...args, ...own], {
    env: {
      DBBOUNCER_MASTER_KEY: 'a master key for tests only',
      DBBOUNCER_NATS: `tls://127.0.0.1:${nats.port}`,
      DBBOUNCER_NATS_TLS_CA_FILE: tls.caFile,
      DBBOUNCER_NATS_TLS_CERT_FILE: tls.certFile,
      DBBOUNCER_NATS_TLS_KEY_FILE: tls.keyFile,
      DBBOUNCER_NATS_NKEY_FILE: file(`${user}.nk`, `${USERS[user].seed}\n`),
      ...env,
    },
  });
  running.push(program);
  return program;
}

function startProxy(user: User, data?: string): Program {
  const args = ['proxy', '--proxy-id', user, '--postgres-port', '0', '--metrics-port', '0'];
  return start(
    user,
    args,
    {
      DBBOUNCER_CONFIG_PUBLIC_KEYS_FILE: join(folder, 'config-public.pem'),
    },
    data,
  );
}

async function postgresPortOf(proxy: Program): Promise<number> {
  const [, port = ''] = await proxy.logs(/"postgresPort":(\d+)/);
  return Number(port);
}

describe('a fleet on NATS with TLS, user keys and a key pair', { timeout: 60_000 }, () => {
  let api: ApiClient;
  let proxy: Program;
  let second: Program;
  let control: Program;

  before(async () => {
    folder = mkdtempSync(join((await scratchOfTest()).path, 'nats-fleet-'));
    const authority = await Authority.create('nats authority');
    const own = await authority.issue({ commonName: 'dbbouncer' });
    tls = {
      caFile: file('ca.pem', authority.cert),
      certFile: file('client.pem', own.cert),
      keyFile: file('client-key.pem', own.key),
    };
    const pair = generateKeyPairSync('ed25519');
    const signing = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    file('config-public.pem', pair.publicKey.export({ format: 'pem', type: 'spki' }).toString());
    [nats, cluster] = await Promise.all([
      natsConfig(authority).then((config) => startNatsServer({ config })),
      startPostgresCluster({ superuserPassword: 'secret' }),
    ]);
    const args = ['control-plane', '--api-port', '0', '--durability', 'replicated'];
    control = start('control-plane', args, {
      DBBOUNCER_API_KEY: API_KEY,
      DBBOUNCER_CONFIG_SIGNING_KEY_FILE: file('config-signing.pem', signing),
    });
    // A proxy that comes first would try to make the stream, and wait until it is there.
    await control.logs(/"stream":"DBBOUNCER_CONFIG"[^}]*"msg":"NATS stream made"/);
    proxy = startProxy('eu-1');
    const [, url = ''] = await control.logs(/"apiUrl":"([^"]+)"/);
    api = new ApiClient(url, API_KEY);
  });
  after(async () => {
    for (const program of running.toReversed()) {
      program.signal('SIGTERM');
      await program.ended();
    }
    await Promise.all([cluster.remove(), nats.stop()]);
  });

  it('serves a tenant, probes, reports, and starts a proxy from the snapshot', async () => {
    const { host, port } = cluster;
    const login = { dbname: 'postgres', username: 'postgres', password: 'secret' };
    const acme = { id: 'acme', db_type: 'postgres', host, port, ...login };
    const { status, body } = await api.call('POST', '/tenants', acme);
    assert.equal(status, 201, JSON.stringify(body));
    assert.equal(await answerWithin(10_000, await postgresPortOf(proxy)), 42);
    const probed = await api.call('PATCH', '/tenants/acme?dry_run=true&probe=true', {});
    assert.match(JSON.stringify(probed.body), /"outcome":"reachable"/);
    const applied = await api.call('PATCH', '/tenants/acme?wait=applied&force=true', {
      max_connections: 7,
    });
    assert.match(JSON.stringify(applied.body), /"max_connections":7/);
    second = startProxy('eu-2');
    await second.logs(/config snapshot applied/);
    assert.equal(await answerWithin(10_000, await postgresPortOf(second)), 42);
    await eventually('both report', async () => {
      const { proxies, position } = await api.fleet();
      const current = proxies.filter((one) => one.applied_position === position);
      return (
        current
          .map(({ id }) => id)
          .toSorted()
          .join() === 'eu-1,eu-2'
      );
    });
  });

  it('keeps a delta from being written by anybody but the control plane', async () => {
    const delta = { epoch: 1, from: 2, to: 3, changes: [{ kind: 'tenant_removed', id: 'acme' }] };
    const connection = await connectedAs('control-plane', SUBJECTS.controlPlaneInbox);
    const options = { timeout: 5_000, expect: { streamName: SUBJECTS.configStream } };
    await jetstream(connection).publish(SUBJECTS.configDelta, JSON.stringify(delta), options);
    await connection.close();
    await proxy.logs(/"reason":"delta is not signed[^}]*"msg":"config rejected"/);
    assert.equal(await answerWithin(0, await postgresPortOf(proxy)), 42);
    const { body } = await api.call('GET', '/fleet');
    assert.match(JSON.stringify(body), /delta is not signed, and config_signature is require/);
    const next = await api.call('PATCH', '/tenants/acme?wait=applied&force=true', {
      max_connections: 8,
    });
    assert.match(JSON.stringify(next.body), /"max_connections":8/);
  });

  it('goes on when a proxy has JetStream write its answers where no proxy may', async () => {
    const connection = await connectedAs('eu-2', SUBJECTS.proxyInbox);
    const asked = `$JS.API.STREAM.INFO.${SUBJECTS.configStream}`;
    for (const reply of [
      SUBJECTS.event,
      SUBJECTS.configDelta,
      `$KV.${SUBJECTS.leaderBucket}.${SUBJECTS.leaseKey}`,
      `$O.${SUBJECTS.snapshotBucket}.M.${btoa(SUBJECTS.snapshotObject)}`,
    ]) {
      connection.publish(asked, '', { reply });
      connection.publish(SUBJECTS.snapshotRequest, '', { reply });
    }
    const purge = `$JS.API.STREAM.PURGE.${SUBJECTS.eventStream}`;
    connection.publish(SUBJECTS.snapshotRequest, '', { reply: purge });
    await connection.drain();
    await control.logs(/what is no lease is written over/);
    await proxy.logs(/passed over what nobody has appended/);
    const next = await api.call('PATCH', '/tenants/acme?wait=applied&force=true', {
      max_connections: 9,
    });
    assert.match(JSON.stringify(next.body), /"max_connections":9.*"lagging":\[\]/);
    const { body } = await api.call('GET', '/ready');
    assert.match(JSON.stringify(body), /"role":"leading"/);
    assert.doesNotMatch(control.stderr, /leads no more|cannot go on/);
    second.signal('SIGKILL');
    await second.ended();
    const again = startProxy('eu-2', 'eu-2-anew');
    assert.equal(await answerWithin(10_000, await postgresPortOf(again)), 42);
  });

  it("refuses a proxy's user everything else", async () => {
    const connection = await connectedAs('eu-1', SUBJECTS.proxyInbox);
    try {
      // That it can do something at all is what gives the refusals their meaning.
      const info = await connection.request(`$JS.API.STREAM.INFO.${SUBJECTS.configStream}`);
      assert.match(info.string(), /"last_seq":[1-9]/);
      for (const subject of FORBIDDEN_TO_PUBLISH) await refusesToPublish(connection, subject);
      for (const subject of FORBIDDEN_TO_HEAR) await refusesToListen(connection, subject);
    } finally {
      await connection.close();
    }
  });

  it('has needed nothing that was not granted, and shown no key in a log', () => {
    for (const { stderr } of running) {
      assert.match(stderr, /"encryption":"tls"/);
      assert.doesNotMatch(stderr, /permissions violation/i);
      for (const { seed } of Object.values(USERS)) assert.ok(!stderr.includes(seed));
    }
  });
});
