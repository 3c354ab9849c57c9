/**
 * Rows of very many clients: all log in at once, then each asks once a second, or without pause;
 * and the fifty tenants, whose clients are more than their server takes.
 */
import { readFileSync } from 'node:fs';
import { cpuUs } from '../contender.ts';
import type { Contender } from '../contender.ts';
import { gather } from '../crowd/crowd.ts';
import type { CrowdPlan, CrowdResult } from '../crowd/crowd-run.ts';
import { alone, counted, lessThanTheirs, value } from '../goals.ts';
import type { Row, RowContext, Sample } from '../row.ts';
import { settled } from '../settled.ts';
import { SERVER_CONNECTIONS_MAX, TENANTS } from '../tenants-rig.ts';

/** For all to log in: what drivers wait at most for one connection when nothing is said. */
const PATIENCE_MS = 30_000;
const OPEN_FILES_BESIDE = 600;
const PODS = 10;
const CONNECTIONS_OF_A_POD = 5;
/** Three of the server's are kept for superusers. */
const SERVER_CONNECTIONS = SERVER_CONNECTIONS_MAX - 3;

const NO_ERROR = alone('at most', 'clients with an error', counted('errors'), { bar: 0 });
const LESS_THAN_THEIRS = lessThanTheirs('P95', value, { dream: 1 });

export const CROWD_ROWS: readonly Row[] = [
  crowd({ key: 'clients-1000', clients: 1_000, rate: 1_000, p95MsMax: 100 }),
  crowd({ key: 'clients-5000', clients: 5_000, rate: 5_000, p95MsMax: 200 }),
  crowd({ key: 'clients-10000', clients: 10_000, rate: 10_000, p95MsMax: 500 }),
  crowd({ key: 'busy-1000', clients: 1_000, rate: 'unlimited', p95MsMax: 100 }),
  crowd({ key: 'busy-10000', clients: 10_000, rate: 'unlimited', p95MsMax: 500 }),
  tenants(),
];

interface CrowdSpec extends Pick<CrowdPlan, 'clients' | 'rate'> {
  readonly key: string;
  readonly p95MsMax: number;
}

function crowd({ key, clients, rate, p95MsMax }: CrowdSpec): Row {
  const pace = rate === 'unlimited' ? 'asking without pause' : 'asking once a second';
  return {
    key,
    title: `${clients.toLocaleString('en')} clients that log in at once, ${pace}`,
    unit: 'ms p95',
    better: 'less',
    goals: [alone('at most', 'P95, ms', value, { bar: p95MsMax }), NO_ERROR, LESS_THAN_THEIRS],
    direct: 'absent',
    stage: 'common',
    needs: 'transaction',
    turns: 'repeated',
    run: async (contender, context) => {
      const sql = 'SELECT abalance FROM pgbench_accounts WHERE aid = 4711';
      const { cpu, result } = await runCrowd(contender, context, { clients, rate, sql });
      return { ...sampleOf(result), cpuUs: cpu, value: result.latency.p95Ms };
    },
  };
}

function tenants(): Row {
  const clients = TENANTS * PODS * CONNECTIONS_OF_A_POD;
  return {
    key: 'tenants-50',
    title: `${TENANTS} tenants × ${PODS} pods × ${CONNECTIONS_OF_A_POD} connections, one server`,
    unit: 'clients',
    better: 'more',
    goals: [
      alone('at least', 'clients served', value, { bar: clients }),
      NO_ERROR,
      alone('at most', 'server connections', ({ serverConnections }) => serverConnections, {
        bar: SERVER_CONNECTIONS,
      }),
    ],
    direct: 'beside',
    stage: 'tenants',
    needs: 'transaction',
    turns: 'repeated',
    run: async (contender, context) => {
      const sql = `SELECT relname FROM pg_class WHERE oid = 1259`;
      const load = { clients, rate: clients, sql };
      const { cpu, result } = await runCrowd(contender, context, load);
      return { ...sampleOf(result), cpuUs: cpu, value: result.served };
    },
  };
}

type Load = Pick<CrowdPlan, 'clients' | 'rate' | 'sql'>;

/** CPU is that of the asking alone. */
async function runCrowd(
  { host, port, pid, login, logins = [login] }: Contender,
  { seconds }: RowContext,
  load: Load,
): Promise<{ readonly result: CrowdResult; readonly cpu: number }> {
  requireOpenFiles(load.clients + OPEN_FILES_BESIDE);
  const crowded = await gather({ ...load, host, port, logins, seconds, patienceMs: PATIENCE_MS });
  try {
    const before = pid === undefined ? NaN : cpuUs(pid);
    const result = await crowded.ask();
    return { result, cpu: pid === undefined ? NaN : cpuUs(pid) - before };
  } finally {
    crowded.kill();
    // So many goodbyes are work, and not for the next one's account.
    if (pid !== undefined) await settled(pid);
  }
}

function sampleOf(result: CrowdResult): Omit<Sample, 'value'> {
  const { latency, logins, answers, tps, failures, words } = result;
  return {
    ...latency,
    work: answers,
    counts: {
      tps,
      'p95 of logins, ms': logins.p95Ms,
      'longest login, ms': logins.maxMs,
      errors: failures,
      ...Object.fromEntries(words.map(([text, times]) => [`"${text}"`, times])),
    },
  };
}

/** @throws Error with both numbers */
function requireOpenFiles(needed: number): void {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const hard = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? Infinity);
  if (hard >= needed) return;
  throw new Error(`needs ${needed} open files, ${hard} are allowed: raise ulimit -Hn`);
}
