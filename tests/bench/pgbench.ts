/**
 * One run of pgbench against one contender.
 * Owns: its command line and reading what it prints and logs.
 * Source: PostgreSQL manual, "pgbench", "Per-Transaction Logging".
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Contender } from './contender.ts';
import { summaryOf } from './statistics.ts';
import type { Summary } from './statistics.ts';

export interface PgbenchRun {
  readonly args: readonly string[];
  readonly clients: number;
  readonly seconds: number;
  /** Of how many transactions latency is noted: logging each would slow fast ones down. */
  readonly latencySampling: number;
  /** Of several scripts the one whose latency counts, from 0; of all when not given. */
  readonly script?: number;
  /** More for libpq, such as PGAPPNAME. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Latency is NaN without samples. */
export interface PgbenchResult extends Summary {
  readonly transactions: number;
  readonly tps: number;
  readonly failed: number;
}

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** @throws Error with pgbench's words when it does not end with 0, or any client was aborted. */
export async function pgbench(
  program: string,
  run: PgbenchRun,
  { host, port, login }: Contender,
): Promise<PgbenchResult> {
  const { user, password, database } = login;
  const folder = await mkdtemp(join(tmpdir(), 'dbb-pgbench-'));
  try {
    const args = [
      '-n',
      `--client=${run.clients}`,
      `--jobs=${Math.min(run.clients, 2)}`,
      `--time=${run.seconds}`,
      ...run.args,
      '--log',
      `--log-prefix=${join(folder, 'log')}`,
      ...(run.latencySampling < 1 ? [`--sampling-rate=${run.latencySampling}`] : []),
      `--host=${host}`,
      `--port=${port}`,
      `--username=${user}`,
      database,
    ];
    const env = {
      PATH: process.env['PATH'],
      LC_ALL: 'C',
      PGPASSWORD: password,
      PGSSLMODE: 'disable',
      ...run.env,
    };
    const options = { env, maxBuffer: OUTPUT_BYTES_MAX };
    const { stdout, stderr } = await promisify(execFile)(program, args, options);
    if (/aborted|FATAL|error:/i.test(stderr)) throw new Error(stderr.slice(0, 2_000));
    return { ...readSummary(stdout), ...(await readLatencies(folder, run.script)) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function readSummary(stdout: string): Pick<PgbenchResult, 'transactions' | 'tps' | 'failed'> {
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? NaN);
  return {
    transactions: number(/^number of transactions actually processed: (\d+)/m),
    failed: number(/^number of failed transactions: (\d+)/m),
    tps: number(/^tps = ([\d.]+)/m),
  };
}

/** A line is: client, transaction, time in microseconds, script, and when. */
async function readLatencies(folder: string, script: number | undefined): Promise<Summary> {
  const files = await readdir(folder);
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n')).map((line) => line.split(' '));
  const counted = lines.filter(
    ({ length, 3: number }) => length > 3 && (script === undefined || Number(number) === script),
  );
  return summaryOf(counted.map(([, , timeUs]) => Number(timeUs) / 1_000));
}
