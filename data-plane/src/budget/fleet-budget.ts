/**
 * A proxy's side of the fleet-wide budget: tells the control plane what is needed, obeys what it
 * grants, and falls back to what it may have alone when nobody answers.
 * Owns: the moments at which a lease ends, and who has to hear of what has changed. Leaves: what
 * holds to obedience.ts, messages to orders.ts and telling.ts, the file to budget-file.ts, slots to
 * the pools.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import { BUDGET_LIMITS, encodeBudget } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, GrantAnswer } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetWhenCutOff } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { DueTimer } from '../pool/due-timer.ts';
import type { Router } from '../routing/router.ts';
import { RoutingSnapshot } from '../routing/snapshot.ts';
import { NO_TENANTS } from './allowance.ts';
import type { BudgetFile } from './budget-file.ts';
import { changedKeys, tenantsOf } from './config-tenants.ts';
import type { KeptChange } from './kept-budget.ts';
import type { TenantUse } from './needs-list.ts';
import { Obedience } from './obedience.ts';
import type { Looked } from './obedience.ts';
import { Orders } from './orders.ts';
import { Telling } from './telling.ts';
import { TenantPart } from './tenant-part.ts';
import type { PartKeeper, ShortageReason } from './tenant-part.ts';

export interface FleetBudgetOptions {
  readonly proxy: ProxyId;
  readonly bus: Bus;
  readonly router: Router;
  readonly file: BudgetFile;
  /** The config that was kept on disk when this life began. */
  readonly keptConfig: () => Promise<RoutingConfig | undefined>;
  /** Position of the config that is on disk: no older one will ever be served. */
  readonly keptPosition: () => Position;
  readonly clock: Clock;
  readonly log: Logger;
}

/** While a control plane is heard, that is kept so often. */
const HEARD_EVERY_MS = 600_000;
/** How long a control plane may take to have its share back from a proxy that leaves. */
const LEAVE_TIMEOUT_MS = 500;

/** `not_yet`: too early in this life to say that nobody answers. */
export type Standing = 'leased' | 'not_yet' | 'cut_off';

export class FleetBudget implements PartKeeper {
  readonly #options: FleetBudgetOptions;
  readonly #obedience: Obedience;
  readonly #parts = new Map<string, TenantPart>();
  readonly #startedMs: number;
  /** The config that the figures are made of. */
  #served: RoutingSnapshot | undefined;
  /** Resolves when it is known what was served before the restart. */
  readonly #based: Promise<void>;
  #responder: Subscription | undefined;
  readonly #orders: Orders;
  readonly #telling: Telling;
  readonly #edge: DueTimer;
  #standing: Standing = 'not_yet';
  #heardKeptMs = -Infinity;
  #inUse: (part: TenantPart) => void = () => {};
  /** Tenants of which one is used that is not ours. */
  readonly #floorOne = new Set<string>();
  #floorOneTotal = 0;
  #released: (() => void) | undefined;

  constructor(options: FleetBudgetOptions) {
    const { proxy, file, clock, router } = options;
    this.#options = options;
    this.#startedMs = clock.nowMs();
    const kept = file.atStart;
    this.#obedience = new Obedience({
      proxy,
      life: file.life,
      kept,
      tenants: kept.share === null ? NO_TENANTS : undefined,
      left: file.left,
      silentMs: file.silentMs,
      nowMs: this.#startedMs,
    });
    this.#orders = new Orders({
      obedience: this.#obedience,
      save: async (change) => await file.save(change),
      obey: (grant) => this.#obey(grant),
      log: options.log,
    });
    this.#telling = new Telling({
      ...options,
      obedience: this.#obedience,
      parts: () => this.#parts.values(),
      hasConfig: () => router.current.epoch > 0,
      beating: () => this.#expire(),
    });
    this.#edge = new DueTimer(clock, () => this.#edgeReached());
    this.#based = kept.share === null ? Promise.resolve() : this.#rebase();
    router.onSwap((_, next) => this.#serve(next));
  }

  // --- what pools may have (PartKeeper) ---

  /** The part of a tenant's limit that is this proxy's. */
  partOf(tenant: string): TenantPart {
    return new TenantPart(tenant, this);
  }

  slotsOf(key: string): number {
    const slots = this.#obedience.capOf(key, this.#options.clock.nowMs());
    if (slots > 0 || !this.#mayHaveOne(key)) {
      this.#floorOne.delete(key);
      return slots;
    }
    if (!this.#floorOne.has(key)) {
      this.#floorOne.add(key);
      this.#floorOneTotal += 1;
      this.#options.log.warn({ tenant: key }, 'one server connection beyond the budget is allowed');
    }
    return 1;
  }

  whyShort(key: string): ShortageReason {
    const looked = this.#obedience.lookedAt(key);
    if (this.#standing === 'cut_off') return 'cut_off';
    if (looked !== 'yes') return looked === 'cannot' ? 'cannot_look' : 'looking';
    return this.#standing === 'leased' ? 'held_elsewhere' : 'no_grant_yet';
  }

  silentText(): string {
    const { clock } = this.#options;
    const sinceMs = Math.max(this.#startedMs, this.#obedience.heardMs);
    return `${Math.round((clock.nowMs() - sinceMs) / 1_000)} s`;
  }

  tellSoon(part: TenantPart): void {
    this.#telling.soon(part);
  }

  /** A timer of a process that was stopped is late: whoever is about to act looks himself. */
  heed(): void {
    if (this.#standingNow() !== this.#standing) this.#edgeReached();
  }

  bound(part: TenantPart): void {
    this.#parts.set(part.key, part);
    this.#inUse(part);
  }

  /** Calls `listener` with the part of each tenant that comes into use. */
  onInUse(listener: (part: TenantPart) => void): void {
    this.#inUse = listener;
  }

  unbound(part: TenantPart): void {
    this.#telling.forget(part);
    if (this.#parts.get(part.key) === part) this.#parts.delete(part.key);
    this.#floorOne.delete(part.key);
  }

  // --- start and end ---

  start(): void {
    const { bus, proxy } = this.#options;
    this.#responder = bus.respond(SUBJECTS.budgetGrant(proxy), async (data) =>
      encodeBudget(await this.#orders.receive(data)),
    );
    this.#edge.armFor(this.#edgeMs(), this.#options.clock.nowMs());
    this.#telling.start();
  }

  stop(): void {
    this.#responder?.close();
    this.#telling.stop();
    this.#edge.cancel();
  }

  /**
   * Ends in good order: every server connection is closed. A control plane that answers soon has
   * the share back, for good; else it stays with the proxy for its next start.
   */
  async leave(): Promise<void> {
    const { clock } = this.#options;
    const isOver = [...this.#parts.values()].every(({ held }) => held === 0);
    if (isOver && this.#standing === 'leased' && this.#obedience.share !== null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#released = resolve;
      const timer = clock.after(LEAVE_TIMEOUT_MS, resolve);
      this.#telling.leave();
      await promise;
      timer.cancel();
    }
    this.stop();
    await this.#orders.settled();
  }

  /** Everything that must be kept before the config of this moment may be. */
  async settled(): Promise<void> {
    await this.#based;
    await this.#options.file.settled();
  }

  /** The config on disk is another one. */
  configKept(): void {
    this.#telling.soon();
  }

  // --- what earlier lives have left behind ---

  /** What is known of them. */
  get earlierLives(): Pick<Obedience, 'left' | 'isServerClear'> {
    return this.#obedience;
  }

  lookedAt(key: string): Looked {
    return this.#obedience.lookedAt(key);
  }

  /** Where connections of the tenant go. */
  serverOf(key: string): string | undefined {
    return this.#obedience.tenant(key)?.server;
  }

  looked(key: string, looked: 'yes' | 'cannot'): void {
    if (this.#obedience.lookedAt(key) === looked) return;
    this.#obedience.look(key, looked);
    this.#update([key]);
  }

  serverIsClear(server: string): void {
    this.#obedience.serverIsClear(server);
    this.#update('all');
  }

  /** On no server. */
  nothingIsLeft(): void {
    this.#obedience.nothingIsLeft();
    this.#update('all');
  }

  // --- what is told of it ---

  get standing(): Standing {
    return this.#standing;
  }

  /** Since the needs that the last grant answered. */
  get leaseAgeMs(): number | undefined {
    const { leaseEndMs } = this.#obedience;
    if (leaseEndMs === -Infinity) return undefined;
    return Math.max(0, this.#options.clock.nowMs() - (leaseEndMs - BUDGET_LIMITS.leaseMs));
  }

  get floorOneTotal(): number {
    return this.#floorOneTotal;
  }

  *tenants() {
    for (const part of this.#parts.values()) {
      const { key, tenant, held, slots: cap } = part;
      const { floor, limit } = this.#obedience.figures(key);
      yield { tenant, cap, limit, floor, held };
    }
  }

  // --- orders ---

  #obey(grant: BudgetGrant): GrantAnswer {
    const { clock } = this.#options;
    const before = this.#standing;
    this.#obedience.obey(grant, clock.nowMs());
    this.#standing = this.#standingNow();
    if (before !== this.#standing) this.#logStanding(before);
    const isOfAll = grant.share !== undefined || before !== this.#standing;
    const named = [...grant.tenants.map(({ tenant }) => tenant), ...grant.released];
    this.#update(isOfAll ? 'all' : named.map((tenant) => tenantKey(tenant)));
    this.#edge.armFor(this.#edgeMs(), clock.nowMs());
    this.#keepHeard();
    if (this.#obedience.share === null) this.#released?.();
    return this.#obedience.answer(grant, { nowMs: clock.nowMs(), uses: this.#uses() });
  }

  #update(keys: readonly string[] | 'all'): void {
    if (keys !== 'all') {
      for (const key of keys) this.#parts.get(key)?.update();
      return;
    }
    for (const part of Array.from(this.#parts.values())) part.update();
  }

  #uses(): TenantUse[] {
    return Array.from(this.#parts.values(), (part) => part.use());
  }

  // --- configs ---

  #serve(next: RoutingSnapshot): void {
    const keys = this.#served === undefined ? [] : changedKeys(this.#served, next);
    this.#served = next;
    this.#keep(this.#obedience.serve(tenantsOf(next), keys));
    this.#update('all');
    this.#telling.configServed();
  }

  /** What was served before the restart, and on top of it what is served now. */
  async #rebase(): Promise<void> {
    const { keptConfig, log } = this.#options;
    const config = await keptConfig();
    if (config === undefined) {
      // As far as anybody knows, the first that is served now was served then.
      log.warn({}, 'the config of before is not known: the first one of now counts for it');
      this.#obedience.rebase(NO_TENANTS, []);
      this.#update('all');
      return;
    }
    const before = new RoutingSnapshot(config);
    const now = this.#served ?? before;
    if (this.#served === undefined) this.#obedience.serve(tenantsOf(before), []);
    this.#served = now;
    this.#keep(this.#obedience.rebase(tenantsOf(before), changedKeys(before, now)));
    this.#update('all');
  }

  // --- time ---

  #standingNow(): Standing {
    const nowMs = this.#options.clock.nowMs();
    if (this.#obedience.isLeased(nowMs)) return 'leased';
    if (this.#obedience.leaseEndMs > -Infinity) return 'cut_off';
    return nowMs < this.#startedMs + BUDGET_LIMITS.leaseMs ? 'not_yet' : 'cut_off';
  }

  #edgeMs(): number {
    if (this.#standing === 'leased') return this.#obedience.leaseEndMs;
    return this.#standing === 'cut_off' ? Infinity : this.#startedMs + BUDGET_LIMITS.leaseMs;
  }

  #edgeReached(): void {
    const before = this.#standing;
    this.#standing = this.#standingNow();
    if (before !== this.#standing) {
      this.#logStanding(before);
      this.#update('all');
    }
    this.#edge.armFor(this.#edgeMs(), this.#options.clock.nowMs());
  }

  #logStanding(before: Standing): void {
    const { log } = this.#options;
    const { share, term } = this.#obedience;
    const fields = { divisor: share?.divisor ?? null, term };
    if (this.#standing === 'cut_off') {
      const text =
        'no control plane deals out the budget: each tenant has what is left to this proxy';
      log.warn(fields, text);
    } else if (this.#standing === 'leased' && before === 'cut_off') {
      log.info(fields, 'a control plane deals out the budget again');
    }
  }

  #mayHaveOne(key: string): boolean {
    if (this.#standing !== 'cut_off') return false;
    const { current } = this.#options.router;
    const tenant = current.byKey(key);
    if (tenant === undefined) return false;
    const mode: BudgetWhenCutOff = current.poolSettings(tenant).budgetWhenCutOff;
    return mode === 'floor_one';
  }

  #expire(): void {
    const expired = this.#obedience.expire(this.#options.clock.nowMs());
    if (expired === undefined) return;
    this.#options.log.warn({}, 'cut off for a day: no part of the budget is left to this proxy');
    this.#keep(expired);
    this.#update('all');
  }

  // --- disk ---

  #keepHeard(): void {
    const { clock } = this.#options;
    if (clock.nowMs() - this.#heardKeptMs < HEARD_EVERY_MS) return;
    this.#heardKeptMs = clock.nowMs();
    this.#keep({ heardAt: clock.timestamp() });
  }

  /** What cannot be kept now is kept with what comes next; the config of now is not, before it. */
  #keep(change: KeptChange | undefined): void {
    if (change === undefined) return;
    this.#options.file.save(change).catch((error: unknown) => {
      this.#options.log.error({ error }, 'what is ours of the budget cannot be kept on disk');
    });
  }
}
