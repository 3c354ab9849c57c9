/**
 * Rows whose load is pgbench as it is, or one large result of psql.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Contender } from '../contender.ts';
import { churn } from '../crowd/crowd.ts';
import { lessThanTheirs, moreThanTheirs, shareOfTheirs, value } from '../goals.ts';
import type { Goal } from '../goals.ts';
import { pgbench } from '../pgbench.ts';
import type { Row, RowContext, Sample } from '../row.ts';

interface LoadSpec {
  readonly key: string;
  readonly title: string;
  readonly args: readonly string[];
  readonly clients: number;
  readonly goals?: readonly Goal[];
  readonly needs?: Row['needs'];
  readonly unit?: 'tps' | 'connects/s' | 'ms p99';
  /** 1 for slow loads: each transaction's latency is noted. */
  readonly latencySampling?: number;
  /** Whose latency counts, where there are several scripts. */
  readonly script?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export const script = (name: string): string =>
  join(import.meta.dirname, '..', 'scripts', `${name}.sql`);

const tps = (bar: number, dream?: number): Goal =>
  moreThanTheirs('tps', value, { bar, ...(dream !== undefined && { dream }) });
const FEWER_CONNECTIONS = [
  shareOfTheirs('most server connections', ({ serverConnections }) => serverConnections, {
    bar: 0.334,
  }),
  shareOfTheirs('usual server connections', ({ usualConnections }) => usualConnections, {}),
];
const ONE_SLOW = {
  args: ['-b', 'select-only@99'],
  clients: 64,
  script: 0,
  unit: 'ms p99',
} as const;
const SHORT_NOT_BEHIND_LONG = lessThanTheirs('p99 of the short ones', value, { bar: 1 });

export const PGBENCH_ROWS: readonly Row[] = [
  load({
    key: 'simple-64',
    title: '`-S` simple, 64 clients',
    args: ['-S'],
    clients: 64,
    goals: [tps(1.7, 2.2), ...FEWER_CONNECTIONS],
  }),
  load({
    key: 'prepared-64',
    title: '`-S` prepared, 64 clients',
    args: ['-S', '-M', 'prepared'],
    clients: 64,
    goals: [tps(1.7, 2.2), ...FEWER_CONNECTIONS],
    needs: 'prepared',
  }),
  load({
    key: 'simple-16',
    title: '`-S` simple, 16 clients',
    args: ['-S'],
    clients: 16,
    goals: [tps(1.2, 1.6)],
  }),
  load({
    key: 'simple-1',
    title: '`-S` simple, 1 client',
    args: ['-S'],
    clients: 1,
    latencySampling: 1,
    goals: [tps(1, 1.1), lessThanTheirs('p50', ({ p50Ms }) => p50Ms, { bar: 1, dream: 1.1 })],
  }),
  load({
    key: 'tpcb-16',
    title: 'TPC-B, 16 clients',
    args: [],
    clients: 16,
    goals: [tps(1, 1.15)],
    latencySampling: 1,
  }),
  load({
    key: 'churn-16',
    title: 'connect (SCRAM), one `-S`, leave; 16 clients',
    args: ['-S', '-C'],
    clients: 16,
    goals: [moreThanTheirs('connects', value, { bar: 0.9, dream: 1.2 })],
    unit: 'connects/s',
    latencySampling: 1,
  }),
  {
    key: 'churn-keys-16',
    title: 'the same by clients that keep their SCRAM keys',
    unit: 'connects/s',
    better: 'more',
    goals: [moreThanTheirs('connects', value, { bar: 0.9, dream: 1.2 })],
    direct: 'absent',
    stage: 'common',
    needs: 'transaction',
    turns: 'repeated',
    run: churnWithKeys,
  },
  bulk({ key: 'bulk-100', rows: '100 B', rowBytes: 100, megabytesASecond: 150 }),
  bulk({
    key: 'bulk',
    rows: '1 kB',
    rowBytes: 1_000,
    megabytesASecond: 300,
    goal: { bar: 1.5, dream: 2.2 },
  }),
  bulk({ key: 'bulk-60k', rows: '60 kB', rowBytes: 60_000, megabytesASecond: 500 }),
  load({
    key: 'large-rows',
    title: 'one row of 100 kB, 16 clients',
    args: ['-f', script('large-row')],
    clients: 16,
    latencySampling: 1,
  }),
  load({
    key: 'tls-64',
    title: '`-S` simple over TLS, 64 clients',
    args: ['-S'],
    clients: 64,
    env: { PGSSLMODE: 'require' },
  }),
  load({
    ...ONE_SLOW,
    key: 'slow-sleep',
    title: '`-S` beside 1 % that sleep 50 ms, 64 clients',
    args: [...ONE_SLOW.args, '-f', `${script('sleep')}@1`],
    goals: [SHORT_NOT_BEHIND_LONG],
  }),
  load({
    ...ONE_SLOW,
    key: 'slow-scan',
    title: '`-S` beside 1 % that scan for 50 ms, 64 clients',
    args: [...ONE_SLOW.args, '-f', `${script('scan')}@1`],
    goals: [SHORT_NOT_BEHIND_LONG],
  }),
];

function load(spec: LoadSpec): Row {
  const { key, title, clients, goals = [], needs = 'transaction', unit = 'tps' } = spec;
  const { latencySampling = 0.1, script: counted, env = {} } = spec;
  return {
    key,
    title,
    unit,
    better: unit === 'ms p99' ? 'less' : 'more',
    goals,
    // New connections to the server itself, or by TLS, are another thing than those to a pooler.
    direct: unit === 'connects/s' || 'PGSSLMODE' in env ? 'absent' : 'beside',
    stage: 'common',
    needs,
    turns: 'repeated',
    run: async (contender, { programs, seconds }) => {
      const simple = contender.protocol === 'simple' ? ['-M', 'simple'] : [];
      const result = await pgbench(
        programs.pgbench,
        {
          args: [...spec.args, ...simple],
          clients,
          seconds,
          latencySampling,
          env,
          ...(counted !== undefined && { script: counted }),
        },
        contender,
      );
      return {
        ...result,
        value: unit === 'ms p99' ? result.p99Ms : result.tps,
        work: result.transactions,
        ...(unit === 'ms p99' && { counts: { tps: result.tps } }),
      };
    },
  };
}

async function churnWithKeys(
  { host, port, login }: Contender,
  { seconds }: RowContext,
): Promise<Sample> {
  const sql = 'SELECT abalance FROM pgbench_accounts WHERE aid = 4711';
  const { visits, latency } = await churn({ host, port, login, clients: 16, sql, seconds });
  return { ...latency, value: visits / seconds, work: visits };
}

interface BulkSpec {
  readonly key: string;
  readonly rows: string;
  readonly rowBytes: number;
  readonly megabytesASecond: number;
  readonly goal?: { readonly bar: number; readonly dream: number };
}

function bulk(spec: BulkSpec): Row {
  return {
    key: spec.key,
    title: `one large result (COPY TO, rows of ${spec.rows})`,
    unit: 'MB/s',
    better: 'more',
    goals: [moreThanTheirs('MB/s', value, spec.goal ?? {})],
    direct: 'beside',
    stage: 'common',
    needs: 'transaction',
    turns: 'repeated',
    run: (contender, context) => copyOut(spec, contender, context),
  };
}

/** About as long as other rows take: the size follows the seconds. */
async function copyOut(
  { rowBytes, megabytesASecond }: BulkSpec,
  contender: Contender,
  { programs, seconds }: RowContext,
): Promise<Sample> {
  const rows = Math.round((seconds * megabytesASecond * 1e6) / rowBytes);
  const sql = `COPY (SELECT repeat('x', ${rowBytes}) FROM generate_series(1, ${rows})) TO STDOUT`;
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
  const megabytes = (rows * rowBytes) / 1e6;
  return { value: megabytes / tookSeconds, work: megabytes };
}
