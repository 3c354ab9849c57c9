/**
 * One real PostgreSQL server in a temporary folder on a free port of 127.0.0.1, for the demo and
 * for tests.
 * Owns: the server process and its folder. Neither outlives this process, however it ends
 * (scratch-folder.ts).
 * Leaves: where the programs come from to postgres-installation.ts. Data is not synced to disk:
 * nothing here is kept.
 * Source: PostgreSQL manual, "Shutting Down the Server" and "The pg_hba.conf File".
 */
import type { ChildProcessByStdio } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { freePort } from './ports.ts';
import type { PostgresInstallation } from './postgres-installation.ts';
import { installPostgres, isRoot, makeFolderFor, SUPERUSER } from './postgres-installation.ts';
import type { ScratchFolder } from './scratch-folder.ts';
import { createScratchFolder } from './scratch-folder.ts';

const HOST = '127.0.0.1';
const START_ATTEMPTS_MAX = 50;
const START_RETRY_MS = 100;
const SHUTDOWN_TIMEOUT_MS = 10_000;
const LOG_CHARS_MAX = 256 * 1024;

export interface PostgresClusterOptions {
  /** The password of the superuser `postgres`. */
  readonly superuserPassword: string;
  /** How the server checks passwords of TCP connections. Default `scram-sha-256`. */
  readonly authMethod?: 'scram-sha-256' | 'md5' | 'password' | 'trust';
  /** Connections the server accepts; default 100. Three of them are kept for superusers. */
  readonly maxConnections?: number;
  /** More lines of postgresql.conf; they win over the defaults made here. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Turns TLS on. All of it is PEM. */
  readonly tls?: ClusterTls;
  /** Lines of pg_hba.conf that come before those made here. */
  readonly hba?: readonly string[];
  /** The folder of initdb and postgres; by default those from npm. */
  readonly programs?: string;
  /** Where to work; by default one folder for all clusters of this process, gone when it ends. */
  readonly scratch?: ScratchFolder;
}

export interface ClusterTls {
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates, which are then asked for. */
  readonly clientCa?: string;
}

export type Row = Readonly<Record<string, unknown>>;

export interface PostgresCluster {
  readonly host: string;
  /** Stays the same over `stop`, `start` and `restart`. */
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
  /** Process id of the running server; nothing while it is down. */
  readonly pid: number | undefined;
  /**
   * Runs `text` (one statement or several) as the superuser on a connection of its own, past every
   * password check.
   * @returns the rows of the last statement.
   */
  sql(database: string, text: string): Promise<readonly Row[]>;
  /** The newest 256 Ki characters of the server's log. */
  log(): string;
  /** `fast` ends every session in order; `immediate` is a crash with recovery at the next start. */
  restart(mode: 'fast' | 'immediate'): Promise<void>;
  /**
   * kill -9 of the server; its sessions end within moments. Returns when the server process is
   * gone.
   */
  kill(): Promise<void>;
  /** Starts a stopped or killed server; nothing to do when it runs. */
  start(): Promise<void>;
  /** Stops the server in order; its data stays until `remove`. */
  stop(): Promise<void>;
  /** Stops the server and deletes its data. */
  remove(): Promise<void>;
}

type Server = ChildProcessByStdio<null, null, Readable>;

let sharedScratch: Promise<ScratchFolder> | undefined;
let clustersMade = 0;

/**
 * Starts a new server with an empty database `postgres`. @throws Error with what PostgreSQL said.
 */
export async function startPostgresCluster(
  options: PostgresClusterOptions,
): Promise<PostgresCluster> {
  const scratch = options.scratch ?? (await scratchOfProcess());
  const installation = await installPostgres(scratch, options.programs);
  clustersMade += 1;
  const folder = join(scratch.path, `cluster-${clustersMade}`);
  await makeFolderFor(installation.runAs, folder);
  // `cp` keeps the owner of the files and is ten times as fast as node's own copy of a thousand
  // small ones.
  await promisify(execFile)('cp', ['-a', installation.template, join(folder, 'data')]);
  await configure(join(folder, 'data'), folder, options);
  if (options.tls !== undefined) await placeTls(join(folder, 'data'), options.tls, installation);
  const cluster = new Cluster({ folder, installation, scratch, options });
  await cluster.initialise();
  return cluster;
}

function scratchOfProcess(): Promise<ScratchFolder> {
  sharedScratch ??= createScratchFolder(isRoot() ? 'everyone' : 'owner');
  return sharedScratch;
}

interface ClusterParts {
  readonly folder: string;
  readonly installation: PostgresInstallation;
  readonly scratch: ScratchFolder;
  readonly options: PostgresClusterOptions;
}

class Cluster implements PostgresCluster {
  readonly host = HOST;
  readonly superuser = SUPERUSER;
  readonly password: string;
  readonly #parts: ClusterParts;
  #port = 0;
  #server: Server | undefined;
  #log = '';

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.password = parts.options.superuserPassword;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#server?.pid;
  }

  /** The first start: chooses the port and sets the superuser's password. */
  async initialise(): Promise<void> {
    for (let attempt = 1; this.#server === undefined; attempt += 1) {
      this.#port = await freePort(HOST);
      const failure = await this.#tryStart();
      const portTaken = failure?.includes('could not bind') === true;
      if (failure !== undefined && !(portTaken && attempt < START_ATTEMPTS_MAX)) {
        throw new Error(`PostgreSQL does not start: ${failure}`);
      }
    }
    const password = this.password.replaceAll("'", "''");
    await this.sql('postgres', `ALTER ROLE ${SUPERUSER} PASSWORD '${password}'`);
  }

  async sql(database: string, text: string): Promise<readonly Row[]> {
    const client = new Client({
      host: this.#parts.folder,
      port: this.#port,
      user: SUPERUSER,
      database,
    });
    // A server that goes down under the connection also fails the query, which tells the caller.
    client.on('error', () => {});
    await client.connect();
    try {
      const result: unknown = await client.query(text);
      const last = Array.isArray(result) ? (result.at(-1) as unknown) : result;
      return (last as { rows: Row[] }).rows;
    } finally {
      await client.end();
    }
  }

  log(): string {
    return this.#log;
  }

  async restart(mode: 'fast' | 'immediate'): Promise<void> {
    await this.#end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await this.start();
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async start(): Promise<void> {
    for (let attempt = 1; this.#server === undefined; attempt += 1) {
      const failure = await this.#tryStart();
      if (failure === undefined) return;
      // After kill -9 the sessions of the dead server hold its shared memory for a moment.
      if (attempt === START_ATTEMPTS_MAX) throw new Error(`PostgreSQL does not start: ${failure}`);
      await pause(START_RETRY_MS);
    }
  }

  async stop(): Promise<void> {
    await this.#end('SIGINT');
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.#parts.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  /** Returns once the server accepts connections, or with what it said when it ended instead. */
  async #tryStart(): Promise<string | undefined> {
    const { folder, installation, scratch } = this.#parts;
    const args = ['-D', join(folder, 'data'), '-p', String(this.#port)];
    const server = spawn(installation.postgres, args, {
      cwd: folder,
      detached: true,
      env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...installation.runAs,
    });
    const failure = await this.#outcome(server);
    if (failure !== undefined) return failure;
    this.#server = server;
    server.once('exit', () => {
      if (server.pid !== undefined) scratch.forget(server.pid);
      if (this.#server === server) this.#server = undefined;
    });
    server.unref();
    (server.stderr as unknown as { unref(): void }).unref();
    return undefined;
  }

  #outcome(server: Server): Promise<string | undefined> {
    const { scratch } = this.#parts;
    if (server.pid !== undefined) scratch.guard(server.pid);
    let said = '';
    return new Promise((resolve) => {
      server.stderr.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_CHARS_MAX);
        said = (said + text).slice(-LOG_CHARS_MAX);
        if (said.includes('database system is ready to accept connections')) resolve(undefined);
      });
      server.once('error', (error) => resolve(error.message));
      server.once('close', () => {
        if (server.pid !== undefined) scratch.forget(server.pid);
        resolve(said.trim() || 'it ended at once without a word');
      });
    });
  }

  /** A server that ignores the signal for 10 s is ended with SIGQUIT, which it cannot put off. */
  async #end(signal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    server.ref();
    const exited = once(server, 'exit');
    server.kill(signal);
    const harder = systemClock.after(SHUTDOWN_TIMEOUT_MS, () => server.kill('SIGQUIT'));
    await exited;
    harder.cancel();
    this.#server = undefined;
  }
}

async function configure(
  data: string,
  socketFolder: string,
  options: PostgresClusterOptions,
): Promise<void> {
  const method = options.authMethod ?? 'scram-sha-256';
  const settings = {
    listen_addresses: HOST,
    unix_socket_directories: socketFolder,
    max_connections: options.maxConnections ?? 100,
    password_encryption: method === 'md5' ? 'md5' : 'scram-sha-256',
    // A crash of the server loses nothing, one of the machine may. No file stays in /dev/shm after
    // kill -9.
    fsync: 'off',
    full_page_writes: 'off',
    wal_level: 'minimal',
    max_wal_senders: 0,
    shared_buffers: '32MB',
    dynamic_shared_memory_type: 'mmap',
    ssl: options.tls !== undefined,
    ssl_ca_file: options.tls?.clientCa === undefined ? '' : TLS_FILES.clientCa,
    ssl_cert_file: TLS_FILES.cert,
    ssl_key_file: TLS_FILES.key,
    ...(options.programs === undefined ? SINCE_18 : {}),
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}`);
  await writeFile(join(data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`);
  // The folder with the socket is closed to other users, so whoever reaches it may do everything.
  const hba = ['local all all trust', ...(options.hba ?? []), `host all all ${HOST}/32 ${method}`];
  await writeFile(join(data, 'pg_hba.conf'), `${hba.join('\n')}\n`);
}

/** Older servers, which somebody else has brought, refuse to start with these. */
const SINCE_18 = Object.freeze({ md5_password_warnings: 'off', io_method: 'sync' });

const TLS_FILES = Object.freeze({ cert: 'tls.crt', key: 'tls.key', clientCa: 'tls-clients.crt' });

/** The server reads a key only if nobody else can. */
async function placeTls(
  data: string,
  tls: ClusterTls,
  { runAs: { uid, gid } }: PostgresInstallation,
): Promise<void> {
  for (const name of ['cert', 'key', 'clientCa'] as const) {
    const path = join(data, TLS_FILES[name]);
    await writeFile(path, tls[name] ?? '', { mode: 0o600 });
    if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
  }
}

function quoted(value: string | number | boolean): string {
  return `'${String(value).replaceAll("'", "''")}'`;
}
