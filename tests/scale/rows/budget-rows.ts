/**
 * What dealing out the budget costs the control plane: the real allocator in this process, and
 * proxies that obey at once. Counted is the CPU of the allocator alone, and of reading what proxies
 * say; not what it takes to make that up.
 */
import { Allocator } from '@dbbouncer/control-plane/budget/allocator.ts';
import type { BudgetConfig } from '@dbbouncer/control-plane/budget/budget-config.ts';
import { configOf, ObedientProxy } from '@dbbouncer/control-plane/budget/testing.ts';
import {
  BUDGET_LIMITS,
  decodeBudget,
  encodeBudget,
  proxyNeedsSchema,
} from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, ProxyNeeds } from '@dbbouncer/shared/contract/budget.ts';
import type { Figure, ScaleRow } from '../scale-row.ts';

const MAX_CONNECTIONS = 400;
const ACTIVE_SHARE = 0.05;
/** Of the active tenants of a proxy, one in so many wants another number than a second ago. */
const MOODY_ONE_IN = 10;
const SECONDS = 8;
const STEPS_EACH_MS = 100;
const GOALS = { secondMs: 50 };

export const BUDGET_ROWS: readonly ScaleRow[] = [
  {
    key: 'budget',
    usesLog: 'none',
    title: 'dealing out max_connections over a fleet, 5 % of the tenants busy on every proxy',
    measure: ({ tenants, proxies }) =>
      Promise.resolve([
        ...figuresFor({ tenants, proxies: 1 }),
        ...figuresFor({ tenants: Math.min(tenants, 10_000), proxies, goalMs: GOALS.secondMs }),
      ]),
  },
];

interface Size {
  readonly tenants: number;
  readonly proxies: number;
  readonly goalMs?: number;
}

function figuresFor({ tenants, proxies, goalMs }: Size): readonly Figure[] {
  const fleet = new BusyFleet(tenants, proxies);
  const movingMs = fleet.seconds(SECONDS, 'moods_change') / SECONDS;
  fleet.seconds(SECONDS, 'as_they_are');
  fleet.spent.reset();
  fleet.seconds(SECONDS, 'as_they_are');
  const { allocatorMs, readingMs, reports, longestMs } = fleet.spent;
  const size = `${tenants} x ${proxies}`;
  const active = Math.floor(tenants * ACTIVE_SHARE);
  const steady: readonly Figure[] = [
    {
      name: `${size}: CPU of a second, ${active} tenants in each report`,
      value: allocatorMs / SECONDS,
      unit: 'ms',
      ...(goalMs !== undefined && { goal: goalMs }),
    },
    { name: `${size}: of it for a report`, value: (allocatorMs * 1e3) / reports, unit: 'us' },
    { name: `${size}: and to read a report`, value: (readingMs * 1e3) / reports, unit: 'us' },
    { name: `${size}: the longest step`, value: longestMs, unit: 'ms' },
    { name: `${size}: CPU of a second, one in ten wants another`, value: movingMs, unit: 'ms' },
  ];
  fleet.spent.reset();
  fleet.changeAll();
  const { spent } = fleet;
  return [
    ...steady,
    { name: `${size}: CPU of a change of all tenants`, value: spent.allocatorMs, unit: 'ms' },
    { name: `${size}: the longest step of that`, value: spent.longestMs, unit: 'ms' },
  ];
}

/** CPU milliseconds since `reset`. */
class Spent {
  allocatorMs = 0;
  readingMs = 0;
  reports = 0;
  longestMs = 0;

  reset(): void {
    this.allocatorMs = 0;
    this.readingMs = 0;
    this.reports = 0;
    this.longestMs = 0;
  }

  onAllocator<T>(work: () => T): T {
    const [result, ms] = timed(work);
    this.allocatorMs += ms;
    this.longestMs = Math.max(this.longestMs, ms);
    return result;
  }

  onReading<T>(work: () => T): T {
    const [result, ms] = timed(work);
    this.readingMs += ms;
    return result;
  }
}

function timed<T>(work: () => T): readonly [T, number] {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [result, (user + system) / 1e3];
}

class BusyFleet {
  readonly spent = new Spent();
  readonly #allocator: Allocator;
  readonly #proxies: readonly ObedientProxy[];
  readonly #keys: readonly string[];
  #config: BudgetConfig;
  #nowMs = 1e6;
  #chance = 1;

  constructor(tenants: number, proxies: number) {
    this.#keys = Array.from({ length: tenants }, (_, n) => `tenant-${n}`);
    this.#config = this.#configAt(1, MAX_CONNECTIONS);
    this.#allocator = new Allocator({
      term: 1,
      config: this.#config,
      fleet: { members: [], areAll: 'surely' },
      expectedProxies: proxies,
      proxyLostAfterMs: 10_000,
      nowMs: this.#nowMs,
    });
    const ids = Array.from({ length: proxies }, (_, n) => `p-${n}`);
    this.#proxies = ids.map((id) => new ObedientProxy(id, () => this.#config));
    const active = this.#keys.slice(0, Math.floor(tenants * ACTIVE_SHARE));
    const part = Math.ceil(MAX_CONNECTIONS / proxies);
    for (const proxy of this.#proxies) {
      for (const key of active) proxy.wanted.set(key, this.#whole(2 * part));
    }
  }

  /** @returns the CPU of the allocator, in milliseconds */
  seconds(count: number, wants: 'as_they_are' | 'moods_change'): number {
    const beforeMs = this.spent.allocatorMs;
    for (let second = 0; second < count; second += 1) {
      if (wants === 'moods_change') for (const proxy of this.#proxies) this.#moods(proxy);
      this.#second();
    }
    return this.spent.allocatorMs - beforeMs;
  }

  #moods(proxy: ObedientProxy): void {
    for (const [key, wanted] of proxy.wanted) {
      if (this.#whole(MOODY_ONE_IN) > 1) continue;
      proxy.wanted.set(key, Math.max(0, wanted + (this.#whole(2) === 1 ? 1 : -1)));
    }
  }

  /** Each proxy reports once; grants are obeyed at once. */
  #second(): void {
    const gapMs = 1_000 / this.#proxies.length;
    let stepMs = this.#nowMs;
    for (const proxy of this.#proxies) {
      this.#nowMs += gapMs;
      this.#hear(proxy.needs(this.#nowMs));
      for (; stepMs < this.#nowMs; stepMs += STEPS_EACH_MS) this.#step();
    }
  }

  /** All tenants have another limit; every proxy applies it and says so. */
  changeAll(): void {
    this.#config = this.#configAt(2, MAX_CONNECTIONS / 2);
    this.spent.onAllocator(() => this.#allocator.configChanged(this.#config, [], 'all'));
    this.#step();
    for (const proxy of this.#proxies) proxy.position = 2;
    this.seconds(2, 'as_they_are');
  }

  /** Who has more tenants than a message holds tells of them by turns. */
  #hear(needs: ProxyNeeds): void {
    const { tenants, number } = needs;
    const pages = Math.ceil(tenants.length / BUDGET_LIMITS.tenantsMax);
    const from = (number % Math.max(1, pages)) * BUDGET_LIMITS.tenantsMax;
    const page = tenants.slice(from, from + BUDGET_LIMITS.tenantsMax);
    const data = encodeBudget({ ...needs, tenants: page });
    const read = this.spent.onReading(() => decodeBudget(proxyNeedsSchema, data));
    this.spent.reports += 1;
    this.spent.onAllocator(() => this.#allocator.needs(read, this.#nowMs));
    this.#step();
  }

  #step(): void {
    for (;;) {
      const orders = this.spent.onAllocator(() => this.#allocator.step(this.#nowMs));
      if (orders.members !== undefined) this.#allocator.membersWritten('written', this.#nowMs);
      for (const grant of orders.grants) this.#carry(grant);
      if (orders.grants.length === 0 && orders.members === undefined) return;
    }
  }

  #carry(grant: BudgetGrant): void {
    const proxy = this.#proxies.find(({ id }) => id === grant.proxy);
    if (proxy === undefined) return;
    const answer = proxy.obey(grant);
    this.spent.onAllocator(() => this.#allocator.grantAnswered(grant, answer, this.#nowMs));
  }

  #configAt(position: number, maxConnections: number): BudgetConfig {
    const limits = Object.fromEntries(this.#keys.map((key) => [key, maxConnections]));
    return configOf(limits, {}, position);
  }

  /** From 1 to `most`, the same in each run. */
  #whole(most: number): number {
    this.#chance = (this.#chance * 48_271) % 2_147_483_647;
    return 1 + (this.#chance % Math.max(1, Math.floor(most)));
  }
}
