/** DBBouncer as a user starts it: `dbbouncer up` with a config file, everything at its default. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { eventually } from '../support/eventually.ts';
import { dbbouncer } from '../support/processes.ts';
import type { Contender, Login } from './contender.ts';
import { answers } from './probe.ts';

export interface DbbouncerOptions {
  readonly folder: string;
  readonly serverPort: number;
  readonly login: Login;
  /** More lines of the tenant's settings, such as `shared_connections: 4`. */
  readonly settings?: readonly string[];
  readonly name?: string;
}

export interface RunningDbbouncer {
  readonly contender: Contender;
  readonly metricsUrl: string;
  stop(): Promise<void>;
}

const STARTS_WITHIN_MS = 20_000;

export async function startDbbouncer(options: DbbouncerOptions): Promise<RunningDbbouncer> {
  const { folder, login, name = 'DBBouncer' } = options;
  const [port, apiPort, metricsPort] = await Promise.all([
    freePort('127.0.0.1'),
    freePort('127.0.0.1'),
    freePort('127.0.0.1'),
  ]);
  const base = join(folder, name.replaceAll(/[^a-z0-9]+/gi, '-'));
  await writeFile(`${base}.yaml`, configuration(options, { port, apiPort, metricsPort }));
  const flags = ['--config', `${base}.yaml`, '--data-dir', `${base}.data`, '--log-level', 'warn'];
  const running = dbbouncer(['up', ...flags]);
  const contender: Contender = {
    name,
    side: 'ours',
    host: '127.0.0.1',
    port,
    pid: running.pid,
    login,
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
  { serverPort, login, settings = [] }: DbbouncerOptions,
  ports: Ports,
): string {
  return `listen:
  host: 127.0.0.1
  postgres_port: ${ports.port}
  api_port: ${ports.apiPort}
  metrics_port: ${ports.metricsPort}
  max_client_connections: 20000
defaults:
  pool_mode: transaction
tenants:
  bench:
    db_type: postgres
    host: 127.0.0.1
    port: ${serverPort}
    dbname: ${login.database}
    username: ${login.user}
    password: ${login.password}
${settings.map((line) => `    ${line}\n`).join('')}`;
}
