/**
 * The fleet-wide budget in a running control plane: carries needs to the allocator, and its orders
 * to the proxies, for one term after the other.
 * Owns: the conversations on the bus, the object of members, when the allocator reckons. Leaves:
 * every decision to allocator.ts, who leads to whoever calls `start` and `stop`.
 *
 * A control plane that does not lead any more must have called `stop` before another one starts:
 * what it sent until then is counted by the next one for as long as a lease holds.
 */
import type { Bus, BusObjects, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import {
  BUDGET_LIMITS,
  decodeBudget,
  encodeBudget,
  grantAnswerSchema,
  lookAnswerSchema,
  proxyNeedsSchema,
} from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, ProxyNeeds } from '@dbbouncer/shared/contract/budget.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { Allocator } from './allocator.ts';
import type { Orders } from './allocator.ts';
import { budgetConfigOf } from './budget-config.ts';
import type { LookOrder } from './looking.ts';
import { decodeMembers, encodeMembers } from './member-object.ts';
import type { Member } from './members.ts';

export interface FleetBudgetOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** Position of the last change that a tenant depends on, its own or one of all. */
  readonly changedAt: (key: string) => Position;
  readonly expectedProxies: number | undefined;
  readonly proxyLostAfterMs: number;
}

const AGAIN_MS = 500;
const STEP_LEAST_MS = 5;

export class FleetBudget {
  readonly #options: FleetBudgetOptions;
  readonly #objects: BusObjects;
  readonly #log: Logger;
  #allocator: Allocator | undefined;
  #config: RoutingConfig | undefined;
  /** The term to grant in; 0: none. */
  #term = 0;
  #subscription: Subscription | undefined;
  #timer: Timer | undefined;
  #isStepping = false;
  #lastWords = new Map<ProxyId, string>();

  constructor(options: FleetBudgetOptions) {
    this.#options = options;
    this.#objects = options.bus.objects(SUBJECTS.fleetBucket);
    this.#log = options.log.child({ part: 'budget' });
  }

  /** What it knows now; nothing before a term has begun. */
  get allocator(): Allocator | undefined {
    return this.#allocator;
  }

  /** Grants in this term, as soon as the config and the members are known. */
  start(term: number): void {
    this.stop();
    this.#term = term;
    void this.#begin(term);
  }

  /** Nothing is granted from here on. */
  stop(): void {
    this.#term = 0;
    this.#allocator = undefined;
    this.#config = undefined;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#lastWords.clear();
  }

  /**
   * The config that proxies are told from now on.
   * @param delta that led to it from the one before; nothing: it may be any other
   */
  configPublished(config: RoutingConfig, delta: ConfigDelta | undefined): void {
    const before = this.#config;
    this.#config = config;
    if (this.#allocator === undefined || config.position === before?.position) return;
    const keys = new Set<string>();
    let scope: 'named' | 'all' = delta === undefined ? 'all' : 'named';
    for (const change of delta?.changes ?? []) {
      if (change.kind === 'tenant_set') keys.add(tenantKey(change.tenant.id));
      else if (change.kind === 'tenant_removed') keys.add(tenantKey(change.id));
      else scope = 'all';
    }
    this.#allocator.configChanged(budgetConfigOf(config, this.#options.changedAt), keys, scope);
    this.#step();
  }

  /** Forgets a member that is gone for good; its part can then be granted to others. */
  forget(proxy: ProxyId): 'forgotten' | 'unknown' | 'live' {
    const outcome = this.#allocator?.forget(proxy, this.#nowMs) ?? 'unknown';
    if (outcome === 'forgotten') this.#log.warn({ proxy }, 'a proxy was forgotten by an operator');
    this.#step();
    return outcome;
  }

  get #nowMs(): number {
    return this.#options.clock.nowMs();
  }

  async #begin(term: number): Promise<void> {
    const members = await this.#readMembers();
    if (this.#term !== term) return;
    if (members === undefined || this.#config === undefined) {
      this.#timer = this.#options.clock.after(members === undefined ? AGAIN_MS : 20, () => {
        void this.#begin(term);
      });
      return;
    }
    const { expectedProxies, proxyLostAfterMs, changedAt, bus } = this.#options;
    this.#allocator = new Allocator({
      term,
      config: budgetConfigOf(this.#config, changedAt),
      members,
      expectedProxies,
      proxyLostAfterMs,
      nowMs: this.#nowMs,
    });
    this.#log.info({ term, members: members.length }, 'the budget of the fleet is granted');
    this.#subscription = bus.subscribe(SUBJECTS.budgetNeeds, (data, subject) => {
      this.#hear(data, subject);
    });
    this.#step();
  }

  async #readMembers(): Promise<readonly Member[] | undefined> {
    try {
      const data = await this.#objects.get(SUBJECTS.fleetMembersObject);
      return data === undefined ? [] : decodeMembers(data);
    } catch (error) {
      const message = 'the members of the fleet cannot be read; nothing is granted yet';
      // A bus that is still away is told of by who connects to it.
      if (this.#options.bus.status !== 'connected') this.#log.info({}, message);
      else this.#log.warn({ error }, message);
      return undefined;
    }
  }

  #hear(data: Uint8Array, subject: string): void {
    let needs: ProxyNeeds;
    try {
      needs = decodeBudget(proxyNeedsSchema, data);
    } catch {
      this.#log.warn({ subject, bytes: data.byteLength }, 'needs that are not valid were dropped');
      return;
    }
    // The bus grants each proxy its own subject only.
    if (subject !== SUBJECTS.budgetNeedsOf(needs.proxy)) return;
    this.#allocator?.needs(needs, this.#nowMs);
    this.#step();
  }

  #step(): void {
    const allocator = this.#allocator;
    if (allocator === undefined || this.#isStepping) return;
    this.#isStepping = true;
    try {
      this.#carryOut(allocator, allocator.step(this.#nowMs));
    } finally {
      this.#isStepping = false;
    }
    if (allocator.deposedBy > 0) {
      this.#log.error({ term: allocator.term, by: allocator.deposedBy }, 'a later term grants now');
      this.stop();
      return;
    }
    this.#timer?.cancel();
    const delayMs = Math.max(STEP_LEAST_MS, allocator.nextStepMs);
    this.#timer = this.#options.clock.after(delayMs, () => this.#step());
  }

  #carryOut(allocator: Allocator, { grants, looks, members }: Orders): void {
    for (const grant of grants) void this.#grant(allocator, grant);
    for (const look of looks) void this.#look(allocator, look);
    if (members !== undefined) void this.#writeMembers(allocator, members);
  }

  async #grant(allocator: Allocator, grant: BudgetGrant): Promise<void> {
    const { bus } = this.#options;
    const subject = SUBJECTS.budgetGrant(grant.proxy);
    const answer = await bus
      .request(subject, encodeBudget(grant), BUDGET_LIMITS.grantTimeoutMs)
      .then((data) => decodeBudget(grantAnswerSchema, data))
      .catch(() => 'no_answer' as const);
    if (this.#allocator !== allocator) return;
    if (answer !== 'no_answer' && answer.outcome === 'refused') {
      this.#once(grant.proxy, answer.reason);
    } else if (answer !== 'no_answer') this.#lastWords.delete(grant.proxy);
    allocator.grantAnswered(grant, answer, this.#nowMs);
    this.#step();
  }

  async #look(allocator: Allocator, { number, looker, request }: LookOrder): Promise<void> {
    const answer = await this.#options.bus
      .request(SUBJECTS.budgetLook(looker), encodeBudget(request), BUDGET_LIMITS.lookTimeoutMs)
      .then((data) => decodeBudget(lookAnswerSchema, data))
      .catch(() => 'no_answer' as const);
    if (this.#allocator !== allocator) return;
    if (answer !== 'no_answer' && answer.outcome === 'seen') {
      const { tenant, left } = request;
      const seen = { looker, tenant, proxy: left.proxy, life: left.upToLife };
      this.#log.info(
        { ...seen, remaining: answer.remaining, ended: answer.ended },
        'a proxy has looked for server connections that another, or an earlier life, has left',
      );
    }
    allocator.lookAnswered(number, answer, this.#nowMs);
    this.#step();
  }

  async #writeMembers(allocator: Allocator, members: readonly Member[]): Promise<void> {
    const outcome = await this.#objects
      .put(SUBJECTS.fleetMembersObject, encodeMembers(members))
      .then(() => 'written' as const)
      .catch((error: unknown) => {
        this.#log.warn({ error }, 'the members of the fleet cannot be written; no part grows');
        return 'failed' as const;
      });
    if (this.#allocator !== allocator) return;
    allocator.membersWritten(outcome, this.#nowMs);
    this.#step();
  }

  /** The same refusal of a proxy again is no news. */
  #once(proxy: ProxyId, reason: string): void {
    if (this.#lastWords.get(proxy) === reason) return;
    this.#lastWords.set(proxy, reason);
    this.#log.warn({ proxy, reason }, 'a proxy refuses its part of the budget');
  }
}
