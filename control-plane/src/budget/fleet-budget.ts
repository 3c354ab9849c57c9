/**
 * The fleet-wide budget in a running control plane: carries needs to the allocator, and its orders
 * to the proxies, for one term after the other.
 * Owns: the conversations on the bus, when the allocator reckons. Leaves: every decision to
 * allocator.ts, terms to seat.ts, who leads to whoever calls `start` and `stop`.
 *
 * A control plane that does not lead any more must have called `stop` before another one starts:
 * what it sent until then is counted by the next one for as long as a lease holds.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
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
import { FleetRecordKey } from './fleet-record.ts';
import type { RecordedFleet } from './members.ts';
import { Seat } from './seat.ts';
import type { BegunTerm, SeatOptions } from './seat.ts';

export interface FleetBudgetOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** Position of the last change that a tenant depends on, its own or one of all. */
  readonly changedAt: (key: string) => Position;
  readonly expectedProxies: number | undefined;
  readonly proxyLostAfterMs: number;
  /** Whether this control plane leads at this very moment, for all that it knows. */
  readonly leads: () => boolean;
}

/** How often it is asked whether a control plane that does not lead yet, or now, does so. */
const LEADS_AGAIN_MS = 100;
const STEP_LEAST_MS = 5;
/** Proxies whose needs are kept until a term has begun; those of others come again in a second. */
const EARLY_MAX = 10_000;

export class FleetBudget {
  readonly #options: FleetBudgetOptions;
  readonly #log: Logger;
  #allocator: Allocator | undefined;
  #config: RoutingConfig | undefined;
  /** From `start` to `stop`. */
  #seat: Seat | undefined;
  #subscription: Subscription | undefined;
  /** The newest needs of each proxy while no term has begun. */
  readonly #early = new Map<ProxyId, ProxyNeeds>();
  #timer: Timer | undefined;
  #isStepping = false;
  #lastWords = new Map<ProxyId, string>();

  constructor(options: FleetBudgetOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: 'budget' });
  }

  /** What it knows now; nothing before a term has begun. */
  get allocator(): Allocator | undefined {
    return this.#allocator;
  }

  /** Grants, in terms of its own, as soon as the config and the members are known. */
  start(about: Pick<SeatOptions, 'termLeast' | 'past'>): void {
    this.stop();
    const key = new FleetRecordKey(this.#options.bus.keys({ bucket: SUBJECTS.fleetBucket }));
    this.#seat = new Seat({ ...about, key, log: this.#log });
    this.#subscription = this.#options.bus.subscribe(SUBJECTS.budgetNeeds, (data, subject) => {
      this.#hear(data, subject);
    });
    this.#beginIn(0);
  }

  /** Nothing is granted from here on. */
  stop(): void {
    this.#seat = undefined;
    this.#config = undefined;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#early.clear();
    this.#endTerm();
  }

  #endTerm(): void {
    this.#allocator = undefined;
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
    if (before === undefined) this.#beginIn(0);
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

  /** Begins a term, or tries to, until this seat is left. */
  #beginIn(delayMs: number): void {
    const seat = this.#seat;
    // Without a config nothing is known to be granted: the first one calls again.
    if (seat === undefined || this.#config === undefined) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => {
      if (!this.#options.leads()) this.#beginIn(LEADS_AGAIN_MS);
      else void this.#begin(seat);
    });
  }

  async #begin(seat: Seat): Promise<void> {
    const begun = await seat.begin();
    if (this.#seat !== seat) return;
    if (typeof begun === 'number') this.#beginIn(begun);
    else if (this.#config !== undefined) this.#grantIn(begun, this.#config);
  }

  #grantIn({ term, ...fleet }: BegunTerm, config: RoutingConfig): void {
    const { expectedProxies, proxyLostAfterMs, changedAt } = this.#options;
    this.#allocator = new Allocator({
      term,
      fleet,
      config: budgetConfigOf(config, changedAt),
      expectedProxies,
      proxyLostAfterMs,
      nowMs: this.#nowMs,
    });
    const { members, areAll } = fleet;
    this.#log.info({ term, members: members.length, areAll }, 'the budget of the fleet is granted');
    for (const needs of this.#early.values()) this.#allocator.needs(needs, this.#nowMs);
    this.#early.clear();
    this.#step();
  }

  /** The next term begins above the one that was heard of. */
  #superseded(allocator: Allocator, reason: string): void {
    const { term, deposedBy, members } = allocator;
    this.#log.warn({ term, by: deposedBy }, reason);
    this.#endTerm();
    this.#seat?.ended(deposedBy, members.recorded);
    this.#beginIn(0);
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
    const { proxy } = needs;
    if (this.#allocator !== undefined) {
      this.#allocator.needs(needs, this.#nowMs);
      this.#step();
    } else if (this.#early.has(proxy) || this.#early.size < EARLY_MAX) {
      this.#early.set(proxy, needs);
    }
  }

  #step(): void {
    const allocator = this.#allocator;
    if (allocator === undefined || this.#isStepping) return;
    this.#isStepping = true;
    try {
      if (this.#options.leads()) this.#carryOut(allocator, allocator.step(this.#nowMs));
    } finally {
      this.#isStepping = false;
    }
    if (allocator.deposedBy > 0) {
      this.#superseded(allocator, 'proxies obey another term of the budget: a higher one begins');
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

  async #writeMembers(allocator: Allocator, fleet: RecordedFleet): Promise<void> {
    const outcome = await this.#seat?.write(fleet).catch((error: unknown) => {
      this.#log.warn({ error }, 'the members of the fleet cannot be written; no part grows');
      return 'failed' as const;
    });
    if (this.#allocator !== allocator || outcome === undefined) return;
    if (outcome === 'superseded') {
      this.#superseded(allocator, 'the record of the fleet is not the one of this term any more');
      return;
    }
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
