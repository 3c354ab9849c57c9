/**
 * Where the proxy's time goes, under 64 clients that read:
 * `node tests/bench/profile/main.ts [--checkout DIR] [--svg FILE] [--title TEXT]` draws a flame
 * graph, counts system calls, and prices them by what this machine takes for one.
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
import { pgbench } from '../pgbench.ts';
import { DATABASE, startServer } from '../rig.ts';
import { flameGraph, selfTimes, within } from './flame-graph.ts';
import type { CpuProfile } from './flame-graph.ts';
import { priceOfCalls } from './loopback.ts';
import type { Prices } from './loopback.ts';
import { callsOf } from './system-calls.ts';
import type { Calls } from './system-calls.ts';

const { values: flags } = parseArgs({
  options: {
    checkout: { type: 'string', default: ROOT },
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    svg: { type: 'string' },
    title: { type: 'string', default: 'DBBouncer' },
  },
});
const FUNCTIONS_TOLD = 15;
/** After the warm-up: until then the engine compiles. */
const WARM_UP_SECONDS = 2;
const COUNTED_AFTER_MS = 500;

const profiled = await createScratchFolder('owner');
const programs = await findPrograms();
const scene = await startServer(programs);
try {
  const counted = await counts([]);
  print(counted, await priceOfCalls());
  const { fromUs, toUs } = await counts(['--cpu-prof', '--cpu-prof-dir', profiled.path]);
  const profile = within(profileIn(profiled.path), fromUs, toUs);
  const { clients, svg, title } = flags;
  const words = `${title}: pgbench -S, ${clients} clients, ${counted.cpuUs.toFixed(1)} µs a query`;
  if (svg !== undefined) writeFileSync(svg, flameGraph(profile, words));
  say('\nof the busy time, by function:');
  for (const [name, share] of selfTimes(profile).slice(0, FUNCTIONS_TOLD)) {
    say(`  ${(100 * share).toFixed(1).padStart(5)} %  ${name}`);
  }
} finally {
  await scene.stop();
  await profiled.remove();
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
  const { cluster, folder, tls } = scene;
  const login = { user: cluster.superuser, password: cluster.password, database: DATABASE };
  const running = await startDbbouncer({
    folder,
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

function print({ cpuUs: used, calls }: Counted, price: Prices): void {
  say(`CPU of the proxy: ${used.toFixed(1)} µs a query`);
  const line = (count: number, what: string, priceUs: number) => {
    const total = `${(count * priceUs).toFixed(1)} µs`;
    say(`  ${count.toFixed(2)} ${what} a query × ${priceUs.toFixed(2)} µs = ${total}`);
  };
  line(calls.reads, 'reads', price.reads);
  line(calls.writes, 'writes', price.writes);
  line(calls.sleeps, 'sleeps', price.sleeps);
  const quiet = calls.reads * price.reads + calls.writes * price.writes;
  const waking = calls.reads * price.reads + calls.writes * price.wakingWrites;
  const sleeping = calls.sleeps * price.sleeps;
  say(`  system calls: ${(quiet + sleeping).toFixed(1)} µs where nobody has to be woken,`);
  say(
    `  ${(waking + sleeping).toFixed(1)} µs where each write (${price.wakingWrites.toFixed(2)} µs)`,
  );
  say('  wakes somebody on another core');
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
