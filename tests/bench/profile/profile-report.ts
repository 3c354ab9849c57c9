/** What profiles of two states of the proxy came to, kept beside the flame graphs in docs/. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { markdownTable } from '../../architecture/document-parts.ts';
import { ROOT } from '../../support/processes.ts';
import { short } from '../words.ts';
import type { Prices } from './loopback.ts';
import type { Calls } from './system-calls.ts';

/** Of one query of a client, all of it. */
export interface Profiled {
  readonly cpuUs: number;
  readonly calls: Calls;
  /** Of the busy time, what the engine spent in calls that write: 0 to 1. */
  readonly writing: number;
  readonly prices: Prices;
}

export const STATES = ['before', 'after'] as const;
export type State = (typeof STATES)[number];
export type Profiles = Readonly<Partial<Record<State, Profiled>>>;

const PROFILES_FILE = join(ROOT, 'docs', 'profile.json');

export function flameFile(state: State): string {
  return join(ROOT, 'docs', `flame-${state}.svg`);
}

export function readProfiles(): Profiles {
  if (!existsSync(PROFILES_FILE)) return {};
  return JSON.parse(readFileSync(PROFILES_FILE, 'utf8')) as Profiles;
}

export function keepProfile(state: State, profiled: Profiled): void {
  const rounded = (_key: string, each: unknown) =>
    typeof each === 'number' ? Number(each.toPrecision(3)) : each;
  const profiles = { ...readProfiles(), [state]: profiled };
  const ordered = Object.fromEntries(STATES.map((each) => [each, profiles[each]]));
  writeFileSync(PROFILES_FILE, `${JSON.stringify(ordered, rounded, 2)}\n`);
}

const HEADS = ['For one query', 'Before shared leases', 'With shared leases'];

/** What a query costs, and what its system calls would at least. */
export function profileTable({ before, after }: Profiles): string {
  const line = (words: string, figure: (profiled: Profiled) => number) => [
    words,
    ...[before, after].map((each) => short(each === undefined ? NaN : figure(each))),
  ];
  return markdownTable(HEADS, [
    line('CPU of the proxy, µs', ({ cpuUs }) => cpuUs),
    line('reads', ({ calls }) => calls.reads),
    line('writes', ({ calls }) => calls.writes),
    line('times it slept', ({ calls }) => calls.sleeps),
    line('of its busy time in writing, %', ({ writing }) => writing * 100),
    line('its calls, when nobody has to be woken, µs', ({ calls, prices }) =>
      costOf(calls, prices, prices.writes),
    ),
    line('its calls, when each write wakes somebody, µs', ({ calls, prices }) =>
      costOf(calls, prices, prices.wakingWrites),
    ),
  ]);
}

export function priceTable(prices: Prices | undefined): string {
  const lines = [
    ['read of what is there', prices?.reads],
    ['write to somebody who is awake', prices?.writes],
    ['write to somebody who sleeps on another core', prices?.wakingWrites],
    ['to fall asleep and be woken', prices?.sleeps],
  ] as const;
  return markdownTable(
    ['Call', 'µs'],
    lines.map(([words, price]) => [words, short(price ?? NaN)]),
  );
}

const DEPTHS = [1, 2, 8, 32];

/** The least that the calls of one query cost, by how many share those to the server. */
export function limitTable(prices: Prices | undefined): string {
  const { reads, writes, wakingWrites } = prices ?? { reads: NaN, writes: NaN, wakingWrites: NaN };
  const heads = [
    'Queries gathered',
    'Everybody is awake',
    'The server and each client sleep',
    'The server and one client sleep',
  ];
  const lines = DEPTHS.map((depth) => {
    const firstWakes = (wakingWrites + (depth - 1) * writes) / depth;
    const costs = [
      reads + writes + (reads + writes) / depth,
      reads + wakingWrites + (reads + wakingWrites) / depth,
      reads + firstWakes + (reads + wakingWrites) / depth,
    ];
    return [String(depth), ...costs.map((cost) => `${short(cost)} µs`)];
  });
  return markdownTable(heads, lines);
}

export function costOf(calls: Calls, prices: Prices, writeUs: number): number {
  return calls.reads * prices.reads + calls.writes * writeUs + calls.sleeps * prices.sleeps;
}
