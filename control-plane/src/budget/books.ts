/**
 * The books of the allocator: every proxy, the tenants of which something was said, the declared
 * servers, and the config they go by. Owns: finding and forgetting them. Leaves: deciding to
 * decide.ts, what proxies say to hearing.ts.
 */
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { BudgetConfig, TenantBudget } from './budget-config.ts';
import type { Entry } from './entry.ts';
import { ProxyAccount } from './proxy-account.ts';
import { TenantAccount } from './tenant-account.ts';
import type { FormerBudget } from './tenant-account.ts';

/** A declared server: its cap, and what tenants on it may occupy. */
export interface ServerAccount {
  readonly name: string;
  max: number;
  total: number;
  readonly tenants: Set<TenantAccount>;
  /** Those that it had no room for; decided anew when it has. */
  readonly refused: Set<TenantAccount>;
  /** When it refused somebody a slot last; until it has not for a while. */
  contendedMs: number | undefined;
  reckonedMs: number;
}

/** A change of what holds for tenants that are not named in it. */
interface WideChange {
  readonly position: number;
  readonly before: BudgetConfig;
}

/** Counters since the term began; durations in milliseconds. */
export interface Tally {
  grants: number;
  grantsUnanswered: number;
  slotsMoved: number;
  looks: number;
  endedByLooks: number;
  /** From unmet demand to the decision that meets it; taken by who observes them. */
  waitsMs: number[];
}

const WAITS_MAX = 10_000;

export class Books {
  readonly proxies = new Map<ProxyId, ProxyAccount>();
  readonly tenants = new Map<string, TenantAccount>();
  readonly servers = new Map<string, ServerAccount>();
  /** To be decided anew. */
  readonly dirty = new Set<TenantAccount>();
  /** With more who want a slot than slots. */
  readonly contended = new Set<TenantAccount>();
  /** With slots of lost proxies or earlier lives, of which nobody knows whether they are gone. */
  readonly leftovers = new Set<Entry>();
  readonly tally: Tally = {
    grants: 0,
    grantsUnanswered: 0,
    slotsMoved: 0,
    looks: 0,
    endedByLooks: 0,
    waitsMs: [],
  };
  config: BudgetConfig;
  /** Of grants to proxies that were forgotten in this term: who comes back has obeyed some. */
  numberFloor = 0;
  /** Somebody of whom nothing is known may hold a lease until then. */
  #blindUntilMs = -Infinity;
  #wide: WideChange[] = [];
  readonly #changed = new Set<TenantAccount>();

  /** Of the first config of the term. */
  readonly #configsFrom: number;

  constructor(config: BudgetConfig) {
    this.config = config;
    this.#configsFrom = config.position;
  }

  proxy(id: ProxyId, life: number, nowMs: number): ProxyAccount {
    const known = this.proxies.get(id);
    if (known !== undefined) return known;
    const account = new ProxyAccount(id, life, nowMs);
    account.grantNumber = this.numberFloor;
    account.configsFrom = this.#configsFrom;
    this.proxies.set(id, account);
    return account;
  }

  tenant(key: string): TenantAccount {
    const known = this.tenants.get(key);
    if (known !== undefined) return known;
    const budget = this.config.get(key);
    const account = new TenantAccount(key, budget, this.#formerOf(key, budget));
    this.tenants.set(key, account);
    if (account.former.length > 0) this.#changed.add(account);
    this.#joinServer(account);
    return account;
  }

  /** Forgets a tenant of which the formula says everything again. */
  forgetIdle(tenant: TenantAccount): void {
    for (const entry of tenant.entries.values()) if (entry.isIdle) tenant.drop(entry);
    if (tenant.entries.size > 0 || tenant.former.length > 0) return;
    this.#leaveServer(tenant);
    this.tenants.delete(tenant.key);
    this.contended.delete(tenant);
    this.#changed.delete(tenant);
  }

  /**
   * Another config holds. @param keys of the tenants that were set or removed; `all`: what holds
   * for every tenant has changed too.
   */
  changeConfig(config: BudgetConfig, keys: Iterable<string>, scope: 'named' | 'all'): void {
    const before = this.config;
    this.config = config;
    const changed = new Set(keys);
    if (scope === 'all') {
      this.#wide.push({ position: config.position, before });
      for (const proxy of this.proxies.values()) proxy.unnamedWalk = undefined;
      for (const key of this.tenants.keys()) changed.add(key);
    }
    for (const key of changed) this.#changeTenant(key, before);
    this.#forgetFormer();
  }

  /** What every proxy has applied is not former any more. */
  #forgetFormer(): void {
    const applied = this.appliedByAll;
    this.#wide = this.#wide.filter(({ position }) => position > applied);
    for (const tenant of this.#changed) {
      tenant.forgetFormer(applied);
      if (tenant.former.length > 0) continue;
      this.#changed.delete(tenant);
      this.dirty.add(tenant);
    }
  }

  /** A proxy has applied another config. */
  applied(): void {
    if (this.#wide.length > 0 || this.#changed.size > 0) this.#forgetFormer();
  }

  /** Until then nothing is known to be free: a member that is not known may have it. */
  beBlind(untilMs: number): void {
    this.#blindUntilMs = untilMs;
  }

  isBlind(nowMs: number): boolean {
    if (this.#blindUntilMs === -Infinity) return false;
    if (nowMs < this.#blindUntilMs) return true;
    this.#blindUntilMs = -Infinity;
    for (const tenant of this.tenants.values()) this.dirty.add(tenant);
    return false;
  }

  get appliedByAll(): number {
    let applied = this.config.position;
    for (const proxy of this.proxies.values()) applied = Math.min(applied, proxy.appliedPosition);
    return applied;
  }

  /** Whether some proxy may still go by a config that held for all tenants before. */
  get isWideChangeUnderWay(): boolean {
    return this.#wide.length > 0;
  }

  /** Nothing else than what was named departs from the formula. */
  nameAll(proxy: ProxyAccount): void {
    if (proxy.unnamed === 'formula') return;
    proxy.unnamed = 'formula';
    for (const tenant of this.tenants.values()) this.dirty.add(tenant);
  }

  nothingLeft(proxy: ProxyAccount): void {
    if (proxy.unnamedLeft === 'nothing') return;
    proxy.unnamedLeft = 'nothing';
    for (const tenant of this.tenants.values()) this.dirty.add(tenant);
  }

  remove(proxy: ProxyAccount): void {
    this.nameAll(proxy);
    this.nothingLeft(proxy);
    for (const entry of proxy.entries.values()) {
      this.leftovers.delete(entry);
      entry.tenant.drop(entry);
      this.dirty.add(entry.tenant);
    }
    this.proxies.delete(proxy.id);
    this.numberFloor = Math.max(this.numberFloor, proxy.grantNumber);
    this.applied();
  }

  /** The tenant's total is reckoned anew; its server's follows. */
  setTotal(tenant: TenantAccount, total: number): void {
    const server = this.serverOf(tenant);
    if (server !== undefined) {
      server.total += total - tenant.total;
      if (total < tenant.total) this.#roomOn(server);
    }
    tenant.total = total;
  }

  /** What is or may be occupied, without what earlier lives have left. */
  presentOf(tenant: TenantAccount): number {
    let present = 0;
    for (const proxy of this.proxies.values()) {
      present += tenant.entries.get(proxy)?.present ?? tenant.liability(proxy);
    }
    return present;
  }

  serverOf(tenant: TenantAccount): ServerAccount | undefined {
    const name = tenant.budget?.server?.name;
    return name === undefined ? undefined : this.servers.get(name);
  }

  waited(ms: number): void {
    if (this.tally.waitsMs.length < WAITS_MAX) this.tally.waitsMs.push(ms);
  }

  /** All tenants of declared servers are known. */
  serversKnown(): void {
    for (const server of this.servers.values()) this.#roomOn(server);
  }

  #roomOn({ refused }: ServerAccount): void {
    for (const tenant of refused) this.dirty.add(tenant);
    refused.clear();
  }

  #changeTenant(key: string, before: BudgetConfig): void {
    const was = before.get(key);
    const budget = this.config.get(key);
    let tenant = this.tenants.get(key);
    const isLowered = (was?.base ?? 0) > (budget?.base ?? 0);
    if (tenant === undefined && (isLowered || isMoved(was, budget))) {
      tenant = new TenantAccount(key, was, []);
      this.tenants.set(key, tenant);
      this.#joinServer(tenant);
    }
    if (tenant === undefined) return;
    this.#leaveServer(tenant);
    tenant.change(budget, this.config.position);
    this.#joinServer(tenant);
    if (tenant.former.length > 0) this.#changed.add(tenant);
    this.dirty.add(tenant);
  }

  #formerOf(key: string, budget: TenantBudget | undefined): readonly FormerBudget[] {
    const former: FormerBudget[] = [];
    for (const { position, before } of this.#wide) {
      const was = before.get(key);
      const lowered =
        (was?.base ?? 0) > (budget?.base ?? 0) ||
        (was?.maxConnections ?? 0) > (budget?.maxConnections ?? 0);
      if (was === undefined || !lowered) continue;
      former.push({ position, maxConnections: was.maxConnections, base: was.base });
    }
    return former;
  }

  #joinServer(tenant: TenantAccount): void {
    const declared = tenant.budget?.server;
    if (declared === undefined) return;
    const known = this.servers.get(declared.name);
    const server = known ?? {
      name: declared.name,
      max: 0,
      total: 0,
      tenants: new Set<TenantAccount>(),
      refused: new Set<TenantAccount>(),
      contendedMs: undefined,
      reckonedMs: -Infinity,
    };
    server.max = declared.maxConnections;
    server.total += tenant.total;
    server.tenants.add(tenant);
    this.servers.set(declared.name, server);
  }

  #leaveServer(tenant: TenantAccount): void {
    const server = this.serverOf(tenant);
    if (server === undefined) return;
    server.total -= tenant.total;
    server.tenants.delete(tenant);
    server.refused.delete(tenant);
    tenant.allotted = undefined;
    if (server.tenants.size === 0) this.servers.delete(server.name);
  }
}

function isMoved(was: TenantBudget | undefined, is: TenantBudget | undefined): boolean {
  return was?.server?.name !== is?.server?.name && was !== undefined;
}
