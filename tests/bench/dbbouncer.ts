/** DBBouncer as a user starts it: `dbbouncer up` with a config file, everything at its default. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { eventually } from '../support/eventually.ts';
import { Program, ROOT } from '../support/processes.ts';
import type { Contender, Login } from './contender.ts';
import { answers } from './probe.ts';
import type { TlsFiles } from './tls-files.ts';

export interface DbbouncerOptions {
  readonly folder: string;
  readonly serverPort: number;
  /** A tenant each, named as its database. */
  readonly logins: readonly [Login, ...Login[]];
  /** PEM files, for clients that ask for TLS. */
  readonly tls: TlsFiles;
  /** More lines of the tenants' settings, such as `shared_connections: 4`. */
  readonly settings?: readonly string[];
  /** Of a variant of ours. */
  readonly name?: string;
  /** Another checkout of the project than this one. */
  readonly checkout?: string;
  /** More flags of Node, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[];
}

export interface RunningDbbouncer {
  readonly contender: Contender;
  readonly metricsUrl: string;
  stop(): Promise<void>;
}

const OURS = 'DBBouncer';
const STARTS_WITHIN_MS = 20_000;

export async function startDbbouncer(options: DbbouncerOptions): Promise<RunningDbbouncer> {
  const { folder, logins, name = OURS, checkout = ROOT, nodeFlags = [] } = options;
  const [port, apiPort, metricsPort] = await Promise.all([
    freePort('127.0.0.1'),
    freePort('127.0.0.1'),
    freePort('127.0.0.1'),
  ]);
  const base = join(folder, name.replaceAll(/[^a-z0-9]+/gi, '-'));
  await writeFile(`${base}.yaml`, configuration(options, { port, apiPort, metricsPort }));
  const flags = ['--config', `${base}.yaml`, '--data-dir', `${base}.data`, '--log-level', 'warn'];
  const launcher = join(checkout, 'cli', 'bin', 'dbbouncer.mjs');
  const running = new Program(process.execPath, [...nodeFlags, launcher, 'up', ...flags]);
  const contender: Contender = {
    name,
    side: name === OURS ? 'ours' : 'variant',
    host: '127.0.0.1',
    port,
    pid: running.pid,
    login: logins[0],
    logins,
  };
  await eventually(`${name} answers`, () => answers(contender), {
    withinMs: STARTS_WITHIN_MS,
    onFailure: () => running.stderr,
  });
  const stop = async () => {
    running.signal('SIGTERM');
    await running.ended();
  };
  return { contender, metricsUrl: `http://127.0.0.1:${metricsPort}`, stop };
}

interface Ports {
  readonly port: number;
  readonly apiPort: number;
  readonly metricsPort: number;
}

function configuration(
  { serverPort, logins, tls, settings = [] }: DbbouncerOptions,
  ports: Ports,
): string {
  const tenants = logins.map(
    ({ user, password, database }) => `  ${database}:
    db_type: postgres
    host: 127.0.0.1
    port: ${serverPort}
    dbname: ${database}
    username: ${user}
    password: ${password}
${settings.map((line) => `    ${line}\n`).join('')}`,
  );
  return `listen:
  host: 127.0.0.1
  postgres_port: ${ports.port}
  api_port: ${ports.apiPort}
  metrics_port: ${ports.metricsPort}
  max_client_connections: 20000
tls_cert: ${tls.cert}
tls_key: ${tls.key}
defaults:
  pool_mode: transaction
tenants:
${tenants.join('')}`;
}
