/**
 * deploy/compose.standby.yaml without containers: its NATS servers as it starts them, on ports of
 * this machine, and its control planes with the environment it gives them.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { Program, ROOT } from '../support/processes.ts';
import { scratchOfTest } from '../support/scratch.ts';

const GIVEN: Readonly<Record<string, string>> = {
  NATS_CLUSTER_PASSWORD: 'n-cluster',
  CONTROL_PLANE_NATS_PASSWORD: 'c-password',
  PROXY_NATS_PASSWORD: 'p-password',
  DBBOUNCER_MASTER_KEY: 'a master key for tests only',
  DBBOUNCER_API_KEY: 'a-key-of-the-tests-0123456789',
};
const SERVERS = ['nats', 'nats-2', 'nats-3'] as const;
const PLANES = ['control-plane', 'control-plane-2'] as const;

interface Service {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

tellLogsOfFailures();

describe('deploy/compose.standby.yaml', { timeout: 60_000 }, () => {
  const nats: Program[] = [];
  let planes: readonly DbbouncerProcess[] = [];
  let services: Readonly<Record<string, Service>>;
  const ports = new Map<string, number>();

  /** As compose would have it, with an address of this machine for each `host:port` in it. */
  const here = (text: string) =>
    text
      .replaceAll(/\$\{(\w+):\?\}/g, (_, name: string) => GIVEN[name] ?? '')
      .replaceAll(/(nats(?:-\d)?|0\.0\.0\.0):(\d{4})/g, (all) => `127.0.0.1:${ports.get(all)}`);

  before(async () => {
    const file = await readFile(join(ROOT, 'deploy', 'compose.standby.yaml'), 'utf8');
    ({ services } = parse(file, { merge: true }) as {
      readonly services: Readonly<Record<string, Service>>;
    });
    for (const name of SERVERS) {
      for (const port of [4222, 6222]) ports.set(`${name}:${port}`, await freePort('127.0.0.1'));
    }
    const { path: folder } = await scratchOfTest();
    const config = join(ROOT, 'deploy', 'nats.conf');
    for (const name of SERVERS) {
      ports.set('0.0.0.0:6222', ports.get(`${name}:6222`) ?? 0);
      const args = (services[name]?.command ?? []).map(here);
      const own = ['-a', '127.0.0.1', '-p', String(ports.get(`${name}:4222`))];
      const path = `${process.env['PATH'] ?? ''}:/usr/sbin`;
      const env = { ...GIVEN, NATS_STORE_DIR: join(folder, name), PATH: path };
      const command = args.map((arg) => (arg === '/etc/nats/nats.conf' ? config : arg));
      nats.push(new Program('nats-server', [...command, ...own], { env }));
    }
    await Promise.all(nats.map((server) => server.logs(/is ready/)));
    planes = await Promise.all(
      PLANES.map((name) => {
        const env = Object.entries(services[name]?.environment ?? {});
        const mapped = env.map(([key, value]) => [key, here(value)] as const);
        return DbbouncerProcess.start({
          command: 'control-plane',
          args: [],
          env: Object.fromEntries(mapped),
        });
      }),
    );
  });
  after(async () => {
    await Promise.all(planes.map((plane) => plane.kill()));
    for (const server of nats) server.signal('SIGKILL');
    await Promise.all(nats.map((server) => server.ended()));
  });

  it('has one control plane lead and the other follow, on streams kept 3 times', async () => {
    const roles = async () => {
      const answers = planes.map(async ({ apiUrl }) => {
        const health = await fetch(`${apiUrl}/health`);
        return ((await health.json()) as { readonly role: string }).role;
      });
      return (await Promise.all(answers)).toSorted().join();
    };
    const isUp = async () => (await roles()) === 'following,leading';
    await eventually('one leads', isUp, { withinMs: 30_000 });
    const log = planes.map((plane) => plane.log).join('\n');
    assert.match(log, /"stream":"DBBOUNCER_EVENTS","replicas":3,"msg":"NATS stream made"/);
    const urls = PLANES.map((name) => services[name]?.environment?.['DBBOUNCER_API_URL']);
    assert.deepEqual(urls, ['http://control-plane:8080', 'http://control-plane-2:8080']);
  });
});
