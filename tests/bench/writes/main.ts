/**
 * npm run bench:writes: how many writes a second the control plane acknowledges over REST.
 * Owns: the command line, the order of turns, the words. Sender, control plane and NATS share the
 * machine, so that the CPU time of a write says more than the rate where others work on it too.
 */
import { parseArgs } from 'node:util';
import { percentile, spreadOf } from '../statistics.ts';
import { WriteLoad } from './load.ts';
import { API_KEY, MeasuredPlane } from './plane.ts';
import type { PlaneKind } from './plane.ts';

const GOAL_AT_NORMAL = 2_000;
const WARM_UP_S = 3;
const LEVELS = {
  in_process: ['normal', 'full'],
  nats: ['normal', 'full', 'replicated'],
} as const;

const HELP = `npm run bench:writes -- [options]

Ends with 0 when ${GOAL_AT_NORMAL} writes a second are reached at durability normal, else with 1.

  --connections N  that write side by side; default 16
  --seconds N      of each turn; default 4
  --repeats N      turns of each row, of which the median is told; default 5
  --help`;

const { values: flags } = parseArgs({
  options: {
    connections: { type: 'string', default: '16' },
    seconds: { type: 'string', default: '4' },
    repeats: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});
const connections = Number(flags.connections);
const seconds = Number(flags.seconds);
const repeats = Number(flags.repeats);

if (flags.help) say(HELP);
else process.exit(await main());

async function main(): Promise<0 | 1> {
  say(`${connections} connections, median of ${repeats} turns of ${seconds} s`);
  say('| bus | durability | writes/s | CPU of a write | p50 | p99 | writes per sync |');
  say('| --- | --- | --- | --- | --- | --- | --- |');
  let best = 0;
  for (const bus of ['in_process', 'nats'] as const) {
    for (const durability of LEVELS[bus]) {
      const measured = await measure({ bus, durability, syncs: 'not_counted' });
      const perSync = durability === 'full' ? await writesPerSync(bus) : '–';
      if (durability === 'normal') best = Math.max(best, measured.rate);
      const { rate, cpuUs, p50Ms, p99Ms } = measured;
      const cells = [bus === 'nats' ? 'NATS' : 'in the process, with a proxy', durability];
      const numbers = [Math.round(rate), `${Math.round(cpuUs)} µs`, ms(p50Ms), ms(p99Ms), perSync];
      say(`| ${[...cells, ...numbers].join(' | ')} |`);
    }
  }
  const verdict = best >= GOAL_AT_NORMAL ? 'reached' : 'missed';
  say(`At least ${GOAL_AT_NORMAL} a second at normal: ${verdict}.`);
  return best >= GOAL_AT_NORMAL ? 0 : 1;
}

async function measure(kind: PlaneKind) {
  const plane = await MeasuredPlane.start(kind);
  const load = new WriteLoad(plane.url, API_KEY, connections);
  try {
    await load.turn(WARM_UP_S);
    const turns: Record<'rate' | 'cpuUs' | 'p50Ms' | 'p99Ms', number>[] = [];
    for (let i = 0; i < repeats; i++) {
      const before = plane.cpuUs();
      const { writes, seconds: took, latenciesMs } = await load.turn(seconds);
      const at = (share: number) => percentile(latenciesMs, share);
      const cpuUs = (plane.cpuUs() - before) / writes;
      turns.push({ rate: writes / took, cpuUs, p50Ms: at(0.5), p99Ms: at(0.99) });
    }
    const of = (name: keyof (typeof turns)[number]) =>
      spreadOf(turns.map((turn) => turn[name])).median;
    return { rate: of('rate'), cpuUs: of('cpuUs'), p50Ms: of('p50Ms'), p99Ms: of('p99Ms') };
  } finally {
    load.close();
    await plane.stop();
  }
}

async function writesPerSync(bus: PlaneKind['bus']): Promise<string> {
  const plane = await MeasuredPlane.start({ bus, durability: 'full', syncs: 'counted' });
  const load = new WriteLoad(plane.url, API_KEY, connections);
  try {
    await load.turn(WARM_UP_S);
    const before = plane.logSyncs();
    const { writes } = await load.turn(seconds);
    return (writes / (plane.logSyncs() - before)).toFixed(1);
  } finally {
    load.close();
    await plane.stop();
  }
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
