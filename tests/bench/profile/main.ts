/**
 * Where the proxy's time goes, under 64 clients that read:
 * `node tests/bench/profile/main.ts [--checkout DIR] [--svg FILE]` draws a flame graph, counts
 * system calls, and prices them by what this machine takes for one. `--document before|after`
 * puts all of it into docs/ and PERFORMANCE.md.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import { findPrograms } from '../../support/programs.ts';
import { ROOT } from '../../support/processes.ts';
import { cpuUs } from '../contender.ts';
import { startDbbouncer } from '../dbbouncer.ts';
import { readReport, writeDocument } from '../performance-document.ts';
import { pgbench } from '../pgbench.ts';
import { DATABASE, startServer } from '../rig.ts';
import { flameGraph, selfTimes, within } from './flame-graph.ts';
import type { CpuProfile } from './flame-graph.ts';
import { priceOfCalls } from './loopback.ts';
import { costOf, flameFile, keepProfile, STATES } from './profile-report.ts';
import type { Profiled } from './profile-report.ts';
import { callsOf } from './system-calls.ts';
import type { Calls } from './system-calls.ts';

const { values: flags } = parseArgs({
  options: {
    checkout: { type: 'string', default: ROOT },
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    svg: { type: 'string' },
    document: { type: 'string' },
  },
});
const TITLES = { before: 'Before shared leases', after: 'With shared leases' };
const FUNCTIONS_TOLD = 15;
/** A socket's functions of the engine that make the call: writeBuffer, writev, … */
const WRITING = /^write(v|Buffer|[A-Z][A-Za-z0-9]*String)$/;
/** After the warm-up: until then the engine compiles. */
const WARM_UP_SECONDS = 2;
const COUNTED_AFTER_MS = 500;

const state = STATES.find((each) => each === flags.document);
if (flags.document !== undefined && state === undefined) {
  throw new Error(`--document takes ${STATES.join(' or ')}`);
}
const folder = await createScratchFolder('owner');
const programs = await findPrograms();
const scene = await startServer(programs);
try {
  const counted = await counts([]);
  const { fromUs, toUs } = await counts(['--cpu-prof', '--cpu-prof-dir', folder.path]);
  const profile = within(profileIn(folder.path), fromUs, toUs);
  const times = selfTimes(profile);
  const writing = times
    .filter(([name]) => WRITING.test(name))
    .reduce((sum, [, each]) => sum + each, 0);
  const profiled = { ...counted, writing, prices: await priceOfCalls() };
  print(profiled, times);
  const title = state === undefined ? 'DBBouncer' : TITLES[state];
  const words = `${title}: pgbench -S, ${flags.clients} clients; busy time`;
  const files = [flags.svg, state && flameFile(state)].filter((each) => each !== undefined);
  for (const file of files) writeFileSync(file, flameGraph(profile, words));
  if (state !== undefined) {
    const { cpuUs: used, calls, prices } = profiled;
    keepProfile(state, { cpuUs: used, calls, writing, prices });
    writeDocument(readReport());
  }
} finally {
  await scene.stop();
  await folder.remove();
}

interface Counted {
  /** For one query of a client, all of it. */
  readonly cpuUs: number;
  readonly calls: Calls;
  /** Of the monotonic clock. */
  readonly fromUs: number;
  readonly toUs: number;
}

async function counts(nodeFlags: readonly string[]): Promise<Counted> {
  const { cluster, tls } = scene;
  const login = { user: cluster.superuser, password: cluster.password, database: DATABASE };
  const running = await startDbbouncer({
    folder: scene.folder,
    tls,
    serverPort: cluster.port,
    logins: [login],
    checkout: flags.checkout,
    nodeFlags,
    name: `profiled ${nodeFlags.length}`,
  });
  const { contender } = running;
  const { pid = 0 } = contender;
  const clients = Number(flags.clients);
  const load = { args: ['-S'], clients, latencySampling: 0.01 };
  await pgbench(programs.pgbench, { ...load, seconds: WARM_UP_SECONDS }, contender);
  await pause(COUNTED_AFTER_MS);
  const [before, callsBefore] = [cpuUs(pid), callsOf(pid)];
  const seconds = Number(flags.seconds);
  const fromUs = monotonicUs();
  const { transactions } = await pgbench(programs.pgbench, { ...load, seconds }, contender);
  const toUs = monotonicUs();
  const [after, callsAfter] = [cpuUs(pid), callsOf(pid)];
  await running.stop();
  const each = (name: keyof Calls) => (callsAfter[name] - callsBefore[name]) / transactions;
  const calls = { reads: each('reads'), writes: each('writes'), sleeps: each('sleeps') };
  return { cpuUs: (after - before) / transactions, calls, fromUs, toUs };
}

function print(profiled: Profiled, times: ReturnType<typeof selfTimes>): void {
  const { cpuUs: used, calls, prices } = profiled;
  say(`CPU of the proxy: ${used.toFixed(1)} µs a query`);
  for (const name of ['reads', 'writes', 'sleeps'] as const) {
    const total = `${(calls[name] * prices[name]).toFixed(1)} µs`;
    say(`  ${calls[name].toFixed(2)} ${name} × ${prices[name].toFixed(2)} µs = ${total}`);
  }
  const [least, most] = [prices.writes, prices.wakingWrites];
  say(`  all of them: ${costOf(calls, prices, least).toFixed(1)} µs when nobody has to be woken,`);
  say(`  ${costOf(calls, prices, most).toFixed(1)} µs when each write wakes somebody elsewhere`);
  say('\nof the busy time, by function:');
  for (const [name, share] of times.slice(0, FUNCTIONS_TOLD)) {
    say(`  ${(100 * share).toFixed(1).padStart(5)} %  ${name}`);
  }
}

function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

function profileIn(folder: string): CpuProfile {
  const [name] = readdirSync(folder).filter((each) => each.endsWith('.cpuprofile'));
  if (name === undefined) throw new Error('the proxy has left no profile');
  return JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
