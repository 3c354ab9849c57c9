/**
 * Both planes as processes on a NATS server with deploy/nats.conf: what its users may do is enough
 * for the product, and a proxy's user can neither read events nor change the config.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect } from '@nats-io/transport-node';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { dbbouncer, Program, ROOT } from '../support/processes.ts';
import { answerWithin, refusesToListen, refusesToPublish } from './nats-refusals.ts';

/** Named as the commands that log in with them. */
const NATS_USERS = { 'control-plane': 'c0ntrol-password', proxy: 'pr0xy-password' };
const NATS_ENV = {
  CONTROL_PLANE_NATS_PASSWORD: NATS_USERS['control-plane'],
  PROXY_NATS_PASSWORD: NATS_USERS.proxy,
};
const PLANE_ENV = { DBBOUNCER_MASTER_KEY: randomBytes(32).toString('base64') };

describe('deploy/nats.conf', () => {
  let folder: string;
  let cluster: PostgresCluster;
  let natsPort: number;
  const running: Program[] = [];
  const started = (program: Program): Program => {
    running.push(program);
    return program;
  };
  const plane = (user: keyof typeof NATS_USERS, dataDir: string, flags: string[]): Program => {
    const nats = `nats://${user}:${NATS_USERS[user]}@127.0.0.1:${natsPort}`;
    const args = [user, '--host', '127.0.0.1', '--data-dir', dataDir, '--nats', nats, ...flags];
    return started(dbbouncer(args, { env: PLANE_ENV }));
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dbbouncer-grants-'));
    cluster = await startPostgresCluster({ superuserPassword: 'secret' });
    natsPort = await freePort('127.0.0.1');
    const config = join(ROOT, 'deploy', 'nats.conf');
    const own = ['-a', '127.0.0.1', '-p', String(natsPort)];
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin`;
    const env = { ...NATS_ENV, NATS_STORE_DIR: join(folder, 'nats'), PATH: path };
    await started(new Program('nats-server', ['-c', config, ...own], { env })).logs(/is ready/);
  });
  after(async () => {
    for (const program of running.toReversed()) {
      program.signal('SIGTERM');
      await program.ended();
    }
    await cluster.remove();
    await rm(folder, { recursive: true });
  });

  it('lets a tenant registered at the control plane be served by a proxy', async () => {
    const dataDir = join(folder, 'control');
    const control = plane('control-plane', dataDir, ['--api-port', '0']);
    const [, apiUrl = ''] = await control.logs(/"apiUrl":"([^"]+)"/);
    const ports = ['--postgres-port', '0', '--metrics-port', '0'];
    const proxy = plane('proxy', join(folder, 'proxy'), ports);
    const [, port = ''] = await proxy.logs(/"postgresPort":(\d+)/);
    const key = (await readFile(join(dataDir, 'api.key'), 'utf8')).trim();
    const response = await fetch(`${apiUrl}/tenants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        id: 'acme',
        db_type: 'postgres',
        host: cluster.host,
        port: cluster.port,
        dbname: 'postgres',
        username: 'postgres',
        password: 'secret',
      }),
    });
    assert.equal(response.status, 201, await response.text());
    assert.equal(await answerWithin(10_000, Number(port)), 42);
    // The question goes to the proxy, and its answer back, with what each user may do.
    const probed = await fetch(`${apiUrl}/tenants/acme?dry_run=true&probe=true`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: '{}',
    });
    assert.match(await probed.text(), /"outcome":"reachable"/);
  });

  it('keeps events from a proxy, and a proxy from changing the config', async () => {
    const connection = await connect({
      servers: `127.0.0.1:${natsPort}`,
      user: 'proxy',
      pass: NATS_USERS.proxy,
      inboxPrefix: '_INBOX_dbbouncer_proxy',
    });
    try {
      // That the proxy's user can do something at all is what gives the refusals their meaning.
      const info = await connection.request('$JS.API.STREAM.INFO.DBBOUNCER_CONFIG');
      assert.match(info.string(), /"last_seq":[1-9]/);
      for (const subject of FORBIDDEN_TO_PUBLISH) await refusesToPublish(connection, subject);
      for (const subject of ['dbbouncer.>', '_INBOX_dbbouncer_control.>', '>']) {
        await refusesToListen(connection, subject);
      }
    } finally {
      await connection.close();
    }
  });
});

const FORBIDDEN_TO_PUBLISH = [
  'dbbouncer.config.delta',
  'dbbouncer.probe.another',
  'dbbouncer.events.stored',
  '$JS.API.STREAM.INFO.DBBOUNCER_EVENTS',
  '$JS.API.STREAM.MSG.GET.DBBOUNCER_EVENTS',
  '$JS.API.DIRECT.GET.DBBOUNCER_EVENTS',
  '$JS.API.CONSUMER.CREATE.DBBOUNCER_EVENTS.spy',
  '$JS.API.STREAM.CREATE.MIRROR_OF_EVENTS',
  '$JS.API.STREAM.DELETE.DBBOUNCER_CONFIG',
  '$JS.API.STREAM.PURGE.DBBOUNCER_CONFIG',
  '$O.DBBOUNCER_SNAPSHOTS.M.bGF0ZXN0',
];
