/**
 * `dbbouncer demo`: everything a newcomer needs to see it work, in one process and one temporary
 * folder, both gone afterwards. Owns: the order of events and the words. Leaves: PostgreSQL,
 * tenants, load to the files beside it.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { createPinoLogger } from '@dbbouncer/shared/logging/pino-logger.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import type { Flags } from '@dbbouncer/shared/settings/resolve.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { curlLine, reachable } from '../banner.ts';
import { CommandFailure, EXIT } from '../exit.ts';
import type { DemoOptions } from '../program.ts';
import { startBoth } from '../run-planes.ts';
import { exitOnUncaught, outliveSignals, stopSignal } from '../stop-signal.ts';
import { UndoStack } from '../undo-stack.ts';
import { Load } from './load.ts';
import { freePort, freePortLike } from './ports.ts';
import { startPostgresCluster } from './postgres-cluster.ts';
import type { PostgresCluster } from './postgres-cluster.ts';
import { isRoot } from './postgres-installation.ts';
import { createScratchFolder } from './scratch-folder.ts';
import type { ScratchFolder } from './scratch-folder.ts';
import { showStatus } from './status.ts';
import type { DemoTenant, ProxyAddress } from './tenants.ts';
import {
  conninfo,
  createDatabase,
  demoTenants,
  MAX_CONNECTIONS,
  registerTenant,
  untilServed,
} from './tenants.ts';

const CLIENTS_MAX = 1_000;
const out = process.stdout;

/** Runs until a signal. @throws CommandFailure when it cannot start; nothing is left then. */
export async function runDemo(options: DemoOptions, version: string): Promise<void> {
  const clients = readClients(options.clients);
  const signal = stopSignal(systemClock);
  const undo = new UndoStack();
  const scratch = await createScratchFolder(isRoot() ? 'everyone' : 'owner');
  undo.add(() => scratch.remove());
  let settings: Settings | undefined;
  try {
    settings = await demoSettings(options.flags, scratch);
    await Promise.race([start({ settings, scratch, clients, version, undo }), signal]);
    await signal;
    out.write('\nStopping ...\n');
  } catch (error) {
    throw settings === undefined ? error : new CommandFailure(error, settings);
  } finally {
    await undo.all();
  }
  out.write(`Stopped. ${scratch.path} is deleted.\n`);
  process.exit(EXIT.ok);
}

function readClients(text: string): number {
  const clients = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (clients <= CLIENTS_MAX) return clients;
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `--clients must be a whole number between 0 and ${CLIENTS_MAX}; got "${text}"`,
  );
}

/** Flags alone: the variables and the config file of a real installation are not the demo's. */
async function demoSettings(flags: Flags, scratch: ScratchFolder): Promise<Settings> {
  const host = flags.host ?? '127.0.0.1';
  const given = { ...flags, host, logLevel: flags.logLevel ?? 'warn' };
  const preferred = resolveSettings({ flags: given, env: {}, cwd: scratch.path }).settings;
  const chosen: Record<string, string> = {};
  for (const name of ['postgresPort', 'apiPort', 'metricsPort'] as const) {
    const wanted = preferred[name];
    if (flags[name] !== undefined && wanted !== 0) continue;
    const port = wanted === 0 ? await freePort(host) : await freePortLike(wanted, host);
    if (wanted !== 0 && port !== wanted) {
      out.write(`Port ${wanted} is in use; the demo takes ${port} instead.\n`);
    }
    chosen[name] = String(port);
  }
  const dataDir = join(scratch.path, 'data');
  const all = { ...given, ...chosen, dataDir, mysqlPort: '0' };
  return resolveSettings({ flags: all, env: {}, cwd: scratch.path }).settings;
}

interface DemoParts {
  readonly settings: Settings;
  readonly scratch: ScratchFolder;
  /** Of each tenant. */
  readonly clients: number;
  readonly version: string;
  readonly undo: UndoStack;
}

async function start({ settings, scratch, clients, version, undo }: DemoParts): Promise<void> {
  const log = createPinoLogger(settings.logLevel);
  const clock = systemClock;
  exitOnUncaught(log);
  outliveSignals(log);
  out.write('Starting PostgreSQL, two tenants, a control plane and a proxy ...\n');
  const tenants = demoTenants();
  const cluster = await startPostgresCluster({ superuserPassword: randomPassword(), scratch });
  undo.add(() => cluster.remove());
  for (const tenant of tenants) await createDatabase(cluster, tenant);

  const bus = createMemoryBus({ clock, log });
  undo.add(() => bus.close());
  const { controlPlane, proxy } = await startBoth(
    settings,
    {
      bus,
      clock,
      log,
      version,
      readEnv: () => undefined,
      file: undefined,
      eventStream: 'off',
      busReach: 'private',
    },
    undo,
  );
  const { apiUrl, apiKeyFile = '' } = controlPlane;
  const address = { host: reachable(settings.host), port: proxy.postgresPort };
  for (const tenant of tenants) await registerTenant({ apiUrl, apiKeyFile }, tenant, cluster);
  for (const tenant of tenants) await untilServed(address, tenant, clock);

  const loads = tenants.map((tenant) => new Load(address, tenant, clients, clock));
  for (const load of loads) undo.add(() => load.stop());
  const metricsUrl = `http://${address.host}:${proxy.metricsPort}/metrics`;
  out.write(welcome({ tenants, address, apiUrl, apiKeyFile, metricsUrl, folder: scratch.path }));
  const serverConnections = () => countConnections(cluster, tenants);
  const hideStatus = showStatus({ loads, serverConnections, clock, out });
  undo.add(() => Promise.resolve(hideStatus()));
}

function randomPassword(): string {
  return randomBytes(18).toString('base64url');
}

async function countConnections(
  cluster: PostgresCluster,
  tenants: readonly DemoTenant[],
): Promise<number> {
  const users = tenants.map(({ user }) => `'${user}'`).join(', ');
  const [row] = await cluster.sql(
    'postgres',
    `SELECT count(*)::int AS connections FROM pg_stat_activity WHERE usename IN (${users})`,
  );
  return Number(row?.['connections']);
}

interface Welcome {
  readonly tenants: readonly DemoTenant[];
  readonly address: ProxyAddress;
  readonly apiUrl: string;
  readonly apiKeyFile: string;
  readonly metricsUrl: string;
  readonly folder: string;
}

function welcome({ tenants, address, apiUrl, apiKeyFile, metricsUrl, folder }: Welcome): string {
  const commands = tenants.map(
    (tenant) => `  psql "${conninfo(address, tenant)}" -c 'select * from whoami'`,
  );
  return `
DBBouncer is running. Each of these lines goes to the same port and is answered from the database
of its own tenant; leave out the -c for a session:

${commands.join('\n')}

The tenants as they were registered through the REST API, with their limits:

  ${curlLine(apiUrl, apiKeyFile)}

In a browser: the API at ${apiUrl}/docs
and the proxy's numbers at ${metricsUrl}

The clients below share at most ${MAX_CONNECTIONS} server connections per tenant.
Everything lives in ${folder} and is deleted at the end. Ctrl-C ends the demo.

`;
}
