/**
 * PgBouncer as a real process on a free port, in transaction or session mode.
 * Owns: its program, its files, its end. `PGBOUNCER_BIN` names another than the system's.
 */
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { eventually } from '../support/eventually.ts';
import { Program } from '../support/processes.ts';
import type { Contender, Login } from './contender.ts';
import { answers } from './probe.ts';
import type { TlsFiles } from './tls-files.ts';

export interface PgbouncerOptions {
  readonly program: string;
  readonly folder: string;
  readonly serverPort: number;
  /** A database and a user each. */
  readonly logins: readonly [Login, ...Login[]];
  readonly poolMode: 'transaction' | 'session';
  readonly poolSize: number;
  readonly clientsMax: number;
  readonly version: string;
  /** PEM files, for clients that ask for TLS. */
  readonly tls: TlsFiles;
}

export interface RunningPgbouncer {
  readonly contender: Contender;
  stop(): Promise<void>;
}

/** The first version with prepared statements in transaction mode. */
const PREPARED_SINCE = 1.21;

/** Node raises its own soft limit of open files, PgBouncer does not. */
const AS_MANY_FILES_AS_MAY_BE = 'ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"';

export function pgbouncerProgram(): string {
  return process.env['PGBOUNCER_BIN'] ?? 'pgbouncer';
}

/** Such as 1.25. @throws Error when there is no such program */
export async function pgbouncerVersion(program: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, ['--version']);
  return /PgBouncer (\d+\.\d+)/.exec(stdout)?.[1] ?? 'unknown';
}

export function preparesInTransactionMode(version: string): boolean {
  return Number(version.split('.')[1]) >= Number(String(PREPARED_SINCE).split('.')[1]);
}

export async function startPgbouncer(options: PgbouncerOptions): Promise<RunningPgbouncer> {
  const { program, folder, logins, poolMode, poolSize } = options;
  const port = await freePort('127.0.0.1');
  const name = `PgBouncer ${poolMode} ${poolSize}`;
  const base = join(folder, `pgbouncer-${poolMode}-${poolSize}`);
  const users = logins.map(({ user, password }) => `"${user}" "${password}"\n`);
  await writeFile(`${base}.users`, users.join(''));
  await writeFile(`${base}.ini`, configuration(options, port, base));
  await chmod(`${base}.users`, 0o644);
  // It refuses to run as root, and reads its files as who it becomes.
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const args = ['-c', AS_MANY_FILES_AS_MAY_BE, program, ...asNobody, '-q', `${base}.ini`];
  const running = new Program('/bin/sh', args);
  const contender: Contender = {
    name,
    side: 'theirs',
    host: '127.0.0.1',
    port,
    pid: running.pid,
    login: logins[0],
    logins,
  };
  await eventually(`${name} answers`, () => answers(contender), {
    withinMs: 10_000,
    onFailure: () => running.stderr,
  });
  const stop = async () => {
    running.signal('SIGKILL');
    await running.ended();
  };
  return { contender, stop };
}

function configuration(options: PgbouncerOptions, port: number, base: string): string {
  const { serverPort, logins, poolMode, poolSize, clientsMax, version, tls } = options;
  const prepared = preparesInTransactionMode(version) ? 'max_prepared_statements = 200' : '';
  const databases = logins.map(
    ({ database }) => `${database} = host=127.0.0.1 port=${serverPort} dbname=${database}`,
  );
  return `[databases]
${databases.join('\n')}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
auth_type = scram-sha-256
auth_file = ${base}.users
client_tls_sslmode = allow
client_tls_cert_file = ${tls.cert}
client_tls_key_file = ${tls.key}
pool_mode = ${poolMode}
default_pool_size = ${poolSize}
max_client_conn = ${clientsMax}
${prepared}
unix_socket_dir =
log_connections = 0
log_disconnections = 0
`;
}
