/**
 * For tests: proxies that obey the allocator at once, without a network, and clients that take all
 * they may have. Checks after each order that nobody has passed a limit.
 */
import assert from 'node:assert/strict';
import type {
  BudgetGrant,
  BudgetShare,
  GrantAnswer,
  ProxyNeeds,
  TenantNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import { BUDGET_LIMITS, formulaSlots } from '@dbbouncer/shared/contract/budget.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { Allocator } from './allocator.ts';
import type { LookOrder } from './looking.ts';
import type { BudgetConfig, TenantBudget } from './budget-config.ts';

export interface Limits {
  readonly [tenant: string]: number;
}

/** @param servers of tenants that are on a declared one: its name and cap */
export function configOf(
  limits: Limits,
  servers: Readonly<Record<string, TenantBudget['server']>> = {},
  position = 1,
): BudgetConfig {
  return {
    position,
    get(key) {
      const maxConnections = limits[key];
      if (maxConnections === undefined) return undefined;
      const server = servers[key];
      const base = server === undefined ? maxConnections : 0;
      return { id: key as TenantId, maxConnections, base, changedAt: position, server };
    },
    onServers: () => Object.keys(limits).filter((key) => servers[key] !== undefined),
  };
}

export class ObedientProxy {
  readonly id: ProxyId;
  life = 1;
  number = 0;
  share: BudgetShare = null;
  term = 0;
  obeyed = 0;
  position = 1;
  state: ProxyNeeds['state'] = 'serving';
  left: ProxyNeeds['left'] = 'nothing';
  readonly figures = new Map<string, { floor: number; limit: number }>();
  readonly wanted = new Map<string, number>();
  /** What is held where that is not what is wanted and may be had. */
  readonly stuck = new Map<string, number>();
  readonly #config: () => BudgetConfig;

  constructor(id: string, config: () => BudgetConfig) {
    this.id = id as ProxyId;
    this.#config = config;
  }

  cap(key: string): number {
    const said = this.figures.get(key);
    const tenant = this.#config().get(key);
    return said?.limit ?? formulaSlots(tenant?.base ?? 0, this.share);
  }

  held(key: string): number {
    return this.stuck.get(key) ?? Math.min(this.cap(key), this.wanted.get(key) ?? 0);
  }

  needs(nowMs: number): ProxyNeeds {
    const { id, life, share, term, obeyed, position, state, left } = this;
    this.number += 1;
    const keys = new Set([...this.figures.keys(), ...this.wanted.keys(), ...this.stuck.keys()]);
    return {
      proxy: id,
      life,
      number: this.number,
      stampMs: nowMs,
      term,
      obeyed,
      share,
      appliedPosition: position,
      left,
      state,
      tenants: [...keys].map((key) => this.tenantNeeds(key)),
      aboveOmitted: 0,
    };
  }

  tenantNeeds(key: string): TenantNeeds {
    const said = this.figures.get(key);
    const cap = this.cap(key);
    return {
      tenant: key as TenantId,
      follows: said === undefined ? 'formula' : 'grant',
      floor: said?.floor ?? cap,
      limit: cap,
      held: this.held(key),
      wanted: this.wanted.get(key) ?? 0,
      looked: 'yes',
    };
  }

  obey(grant: BudgetGrant): GrantAnswer {
    this.term = grant.term;
    this.obeyed = grant.number;
    if (grant.share !== undefined) this.share = grant.share;
    for (const key of grant.released) this.figures.delete(key);
    for (const { tenant, floor, limit } of grant.tenants) {
      this.figures.set(tenant, { floor, limit });
    }
    const above = [...this.stuck]
      .filter(([key, held]) => held > this.cap(key))
      .map(([key, held]) => ({ tenant: key as TenantId, held }));
    return {
      outcome: 'obeyed',
      above,
      aboveOmitted: 0,
      lease: 'in_force',
      ...(grant.tell !== undefined && { told: this.#told() }),
    };
  }

  #told() {
    const keys = [...new Set([...this.figures.keys(), ...this.wanted.keys()])].toSorted();
    return { tenants: keys.map((key) => this.tenantNeeds(key)), more: false };
  }
}

export interface FleetOptions {
  readonly config: BudgetConfig;
  readonly proxies: number;
  readonly expectedProxies?: number;
}

/** One allocator and its proxies. Time goes by hand. */
export class ObedientFleet {
  readonly allocator: Allocator;
  readonly proxies: ObedientProxy[] = [];
  readonly grants: BudgetGrant[] = [];
  /** Nobody answers them but the test. */
  readonly looks: LookOrder[] = [];
  readonly #keys: readonly string[];
  config: BudgetConfig;
  nowMs = 1_000_000;
  #beatMs = 0;

  constructor(keys: readonly string[], { config, proxies, expectedProxies }: FleetOptions) {
    this.#keys = keys;
    this.config = config;
    this.allocator = new Allocator({
      term: 1,
      config,
      fleet: { members: [], areAll: 'surely' },
      expectedProxies,
      proxyLostAfterMs: 5_000,
      nowMs: this.nowMs,
    });
    for (let n = 1; n <= proxies; n++) this.join();
  }

  join(): ObedientProxy {
    const proxy = new ObedientProxy(`p-${this.proxies.length + 1}`, () => this.config);
    this.proxies.push(proxy);
    return proxy;
  }

  /** A proxy's clients want so many from now on; it says so at once. */
  want(proxy: ObedientProxy, key: string, wanted: number): void {
    proxy.wanted.set(key, wanted);
    this.hear(proxy);
  }

  hear(proxy: ObedientProxy): void {
    this.allocator.needs(proxy.needs(this.nowMs), this.nowMs);
    this.step();
  }

  /** Lets `ms` go by. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      this.nowMs += 25;
      if (this.nowMs - this.#beatMs >= BUDGET_LIMITS.heartbeatMs) {
        this.#beatMs = this.nowMs;
        for (const proxy of this.proxies) this.hear(proxy);
      }
      this.step();
    }
  }

  /** Everything that is due, and what follows from it. */
  step(): void {
    for (let rounds = 0; rounds < 100; rounds++) {
      const { grants, looks, members } = this.allocator.step(this.nowMs);
      this.looks.push(...looks);
      if (members !== undefined) this.allocator.membersWritten('written', this.nowMs);
      for (const grant of grants) this.#carry(grant);
      if (grants.length === 0 && members === undefined) return;
    }
    assert.fail('it never has nothing to say');
  }

  caps(key: string): readonly number[] {
    return this.proxies.map((proxy) => proxy.cap(key));
  }

  #carry(grant: BudgetGrant): void {
    this.grants.push(grant);
    const proxy = this.proxies.find(({ id }) => id === grant.proxy);
    if (proxy === undefined) return;
    const answer = proxy.obey(grant);
    this.#check();
    this.allocator.grantAnswered(grant, answer, this.nowMs);
  }

  #check(): void {
    const onServers = new Map<string, { used: number; max: number }>();
    for (const key of this.#keys) {
      const tenant = this.config.get(key);
      const used = sum(this.proxies.map((one) => Math.max(one.cap(key), one.held(key))));
      const max = tenant?.maxConnections ?? 0;
      assert.ok(used <= max, `${used} of ${key}, ${max} are allowed: ${this.caps(key).join()}`);
      const { server } = tenant ?? {};
      if (server === undefined) continue;
      const before = onServers.get(server.name)?.used ?? 0;
      onServers.set(server.name, { used: before + used, max: server.maxConnections });
    }
    for (const [name, { used, max }] of onServers) {
      assert.ok(used <= max, `${used} of server ${name}, ${max} are allowed`);
    }
  }
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
