/**
 * What of a report fits a message of the bus: every list has its share of the bytes, and what is
 * most urgent in it goes first.
 */
import { BUS_LIMITS } from '@dbbouncer/shared/bus/bus.ts';
import type { PoolReport, ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ReadPool } from './pool-tally.ts';

/**
 * The most that each list takes. Halted tenants, servers and endpoints are as many as their limits
 * in shared/contract allow, if their texts are not uncommonly long.
 */
const SHARES = Object.freeze({
  pools: 0.42,
  tenants: 0.2,
  halted: 0.16,
  servers: 0.1,
  endpoints: 0.1,
});

const FAILING_CHARS_MAX = 500;

/** A list of a report as JSON, written once: it may be long, and clients wait meanwhile. */
export interface Fitting {
  /** With its name; nothing when it is empty. */
  readonly json: readonly string[];
  /** How many there was no room for. */
  readonly omitted: number;
}

/** The first of `items`, made into what is sent, as far as there is room. */
export function fitting<List extends keyof typeof SHARES, T>(
  list: List,
  items: readonly T[],
  make: (item: T) => Item<List>,
): Fitting {
  const bytesMax = SHARES[list] * BUS_LIMITS.messageBytesMax;
  const written: string[] = [];
  let bytes = 0;
  for (const item of items) {
    const one = JSON.stringify(make(item));
    bytes += Buffer.byteLength(one) + 1;
    if (bytes > bytesMax) break;
    written.push(one);
  }
  const json = written.length === 0 ? [] : [`"${list}":[${written.join(',')}]`];
  return { json, omitted: items.length - written.length };
}

type Item<List extends keyof typeof SHARES> = NonNullable<ProxyReport[List]>[number];

/** Those that somebody has to look at first. */
export function byUrgency(pools: readonly ReadPool[]): readonly ReadPool[] {
  return pools.toSorted((a, b) => urgency(b) - urgency(a));
}

function urgency({ reading }: ReadPool): number {
  if (reading.failing !== undefined) return 3;
  if (reading.waiting > 0) return 2;
  return reading.active > 0 ? 1 : 0;
}

export function poolReport({ identity, reading }: ReadPool): PoolReport {
  const { tenant, protocol, database, user } = identity;
  const { state, active, idle, total, waiting, longestWaitMs, failing } = reading;
  return {
    tenant,
    protocol,
    database,
    user,
    ...(state !== 'open' && { state }),
    active,
    idle,
    total,
    waiting,
    longestWaitMs,
    ...(failing !== undefined && { failing: failing.slice(0, FAILING_CHARS_MAX) }),
  };
}
