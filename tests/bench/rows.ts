/**
 * The rows of the comparison, in the order they are shown.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { privateBytes } from './contender.ts';
import type { Contender } from './contender.ts';
import { openIdleClients } from './idle-clients.ts';
import { pgbench } from './pgbench.ts';
import type { Row, RowContext, Sample } from './row.ts';

interface LoadSpec {
  readonly key: string;
  readonly title: string;
  readonly args: readonly string[];
  readonly clients: number;
  readonly bar?: number;
  readonly needs?: Row['needs'];
  readonly unit?: 'tps' | 'connects/s';
  /** 1 for slow loads: each transaction's latency is noted. */
  readonly latencySampling?: number;
}

export const ROWS: readonly Row[] = Object.freeze([
  load({ key: 'simple-64', title: '`-S` simple, 64 clients', args: ['-S'], clients: 64, bar: 1.7 }),
  load({
    key: 'prepared-64',
    title: '`-S` prepared, 64 clients',
    args: ['-S', '-M', 'prepared'],
    clients: 64,
    bar: 1.7,
    needs: 'prepared',
  }),
  load({ key: 'simple-16', title: '`-S` simple, 16 clients', args: ['-S'], clients: 16, bar: 1.2 }),
  load({ key: 'simple-1', title: '`-S` simple, 1 client', args: ['-S'], clients: 1, bar: 1 }),
  load({
    key: 'tpcb-16',
    title: 'TPC-B, 16 clients',
    args: [],
    clients: 16,
    bar: 1,
    latencySampling: 1,
  }),
  load({
    key: 'churn-16',
    title: 'connect, one `-S`, leave; 16 clients',
    args: ['-S', '-C'],
    clients: 16,
    bar: 0.9,
    unit: 'connects/s',
    latencySampling: 1,
  }),
  {
    key: 'bulk',
    title: 'one large result (COPY TO, rows of 1 kB)',
    unit: 'MB/s',
    better: 'more',
    bar: 1.5,
    direct: 'beside',
    needs: 'transaction',
    turns: 'repeated',
    run: bulk,
  },
  {
    key: 'idle-memory',
    title: 'memory of an idle client',
    unit: 'bytes/client',
    better: 'less',
    direct: 'absent',
    needs: 'transaction',
    turns: 'once',
    run: idleMemory,
  },
]);

function load(spec: LoadSpec): Row {
  const { key, title, args, clients, bar, needs = 'transaction', unit = 'tps' } = spec;
  const latencySampling = spec.latencySampling ?? 0.1;
  return {
    key,
    title,
    unit,
    better: 'more',
    ...(bar !== undefined && { bar }),
    direct: unit === 'tps' ? 'beside' : 'absent',
    needs,
    turns: 'repeated',
    run: async (contender, { programs, seconds }) => {
      const run = { args, clients, seconds, latencySampling };
      const result = await pgbench(programs.pgbench, run, contender);
      return { ...result, value: result.tps, work: result.transactions };
    },
  };
}

const ROW_BYTES = 1_000;
const BULK_MEGABYTES_A_SECOND = 300;

/** About as long as other rows take: the size follows the seconds. */
async function bulk(contender: Contender, { programs, seconds }: RowContext): Promise<Sample> {
  const rows = Math.round((seconds * BULK_MEGABYTES_A_SECOND * 1e6) / ROW_BYTES);
  const sql = `COPY (SELECT repeat('x', ${ROW_BYTES}) FROM generate_series(1, ${rows})) TO STDOUT`;
  const { host, port, login } = contender;
  const args = ['-X', '-h', host, '-p', String(port), '-U', login.user, '-c', sql, login.database];
  const env = { PATH: process.env['PATH'], PGPASSWORD: login.password, PGSSLMODE: 'disable' };
  const began = performance.now();
  const child = spawn(programs.psql, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(words);
  const tookSeconds = (performance.now() - began) / 1_000;
  const megabytes = (rows * ROW_BYTES) / 1e6;
  const latency = { p50Ms: NaN, p95Ms: NaN, p99Ms: NaN };
  return { ...latency, value: megabytes / tookSeconds, work: megabytes };
}

const IDLE_CLIENTS = 1_000;

async function idleMemory(contender: Contender): Promise<Sample> {
  const { pid = 0 } = contender;
  const before = privateBytes(pid);
  const clients = await openIdleClients(contender, IDLE_CLIENTS);
  const bytes = (privateBytes(pid) - before) / IDLE_CLIENTS;
  await clients.close();
  return { value: bytes, work: 0, p50Ms: NaN, p95Ms: NaN, p99Ms: NaN };
}
