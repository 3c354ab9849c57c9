/**
 * The server connections of one tenant's database under one server user, and the clients that
 * want one.
 * Owns: what happens when a client comes, gives back or waits too long, and when a server closes;
 * one timer. Leaves: the books to pool-core.ts, what is lacking to pool-needs.ts, dials to
 * pool-dials.ts, cleaning to upkeep.ts, the tenant's limit to tenant-cap.ts, what a lease means to
 * session/.
 *
 * Re-entrancy: `granted` may be called from within `release`, and may call any method of the pool
 * itself. All other answers, and every answer to a waiter that has just come, arrive later.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { Backend, CloseReason } from '../upstream/upstream.ts';
import { DialGate } from './dial-gate.ts';
import { DueTimer } from './due-timer.ts';
import { Keeping } from './keeping.ts';
import type { Keeper } from './keeping.ts';
import { DEFAULT_POOL_LIMITS } from './limits.ts';
import { PoolCondition } from './pool-condition.ts';
import { PoolCore } from './pool-core.ts';
import { PoolDials } from './pool-dials.ts';
import { PoolMinimum } from './pool-minimum.ts';
import { PoolNeeds } from './pool-needs.ts';
import type { PoolIdentity, PoolOptions } from './pool-options.ts';
import { newCounters, statsOf } from './pool-stats.ts';
import type { PoolStats } from './pool-stats.ts';
import { systemRandom } from './random.ts';
import { Refusals } from './refusals.ts';
import type { Slot } from './slot.ts';
import type { SlotCap } from './slot-cap.ts';
import { reserveOf, TenantCap } from './tenant-cap.ts';
import type { CapMember } from './tenant-cap.ts';
import { Upkeep } from './upkeep.ts';
import { WaitNotices } from './wait-notices.ts';
import { whyWaiting } from './wait-reason.ts';
import type { Waiter } from './waiter.ts';

export type { PoolIdentity, PoolOptions } from './pool-options.ts';
export type { PoolStats } from './pool-stats.ts';
export type { Waiter } from './waiter.ts';

export class Pool<B extends Backend> {
  readonly identity: PoolIdentity;
  readonly condition: PoolCondition<B>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #cap: SlotCap;
  readonly #core: PoolCore<B, Waiter<B>>;
  readonly #needs: PoolNeeds<B, Waiter<B>>;
  readonly #member: CapMember;
  readonly #counters = newCounters();
  readonly #dials: PoolDials<B>;
  readonly #minimum: PoolMinimum<B>;
  readonly #upkeep: Upkeep<B>;
  readonly #refusals: Refusals<B>;
  readonly #timer: DueTimer;
  /** Backends whose server closed while a client held them; the client still gives them back. */
  readonly #lost = new WeakSet<B>();
  readonly #keeping = new Keeping<B>();
  readonly #drained = Promise.withResolvers<void>();
  #isServing = false;

  constructor(options: PoolOptions<B>) {
    const { identity, settings, clock, upstream, limits = DEFAULT_POOL_LIMITS } = options;
    const { tenant, database, endpoint, user } = identity;
    this.identity = identity;
    this.#clock = clock;
    this.#log = options.log.child({ tenant, database, endpoint, user });
    const { traffic = 'active', random = systemRandom } = options;
    const { cap = new TenantCap(settings.maxConnections, reserveOf(settings)) } = options;
    const { gate = new DialGate({ clock, dialsMax: Infinity }) } = options;
    const core = new PoolCore<B, Waiter<B>>({ settings, traffic, cap, random });
    const needs = new PoolNeeds({ core, cap, dialsMax: limits.dialsMax, gate });
    this.#cap = cap;
    this.#core = core;
    this.#needs = needs;
    const counts = { counters: this.#counters, log: this.#log };
    const parts = { tenant, core, needs, cap, upstream, clock, ...counts };
    this.#dials = new PoolDials({
      ...parts,
      gate,
      opened: (slot, nowMs) => this.#giveBack(slot, nowMs),
      failed: () => this.#slotFreed(),
      closed: (slot) => this.#serverClosed(slot),
    });
    const hindrance = () => upstream.hindrance?.();
    this.#minimum = new PoolMinimum({ core, dials: this.#dials, hindrance, nowMs: clock.nowMs() });
    this.#upkeep = new Upkeep({
      ...parts,
      rested: (slot, nowMs) => this.#giveBack(slot, nowMs),
      broken: (slot, reason, nowMs) => {
        this.#close(slot, reason);
        this.#settle(nowMs);
      },
    });
    this.#refusals = new Refusals({
      ...parts,
      waitersMax: limits.waitersMax,
      hindrance,
    });
    const notices = new WaitNotices(parts);
    this.#timer = new DueTimer(clock, (nowMs) => {
      this.#refusals.refuseExpired(nowMs);
      notices.tellDue(nowMs);
      this.#settle(nowMs);
    });
    this.#member = {
      needs,
      dialOne: () => this.#dials.begin(),
      closeLongestIdle: (reason) => this.#closeLongestIdle(reason),
      wantKept: () => this.#keeping.want(),
      limitChanged: () => this.#limitChanged(clock.nowMs()),
    };
    cap.join(this.#member);
    this.condition = new PoolCondition(core, cap, this.#member);
  }

  /** Leases an idle backend at once if nobody is in line; else undefined: the caller may `wait`. */
  take(): B | undefined {
    if (this.#core.line.size > 0) return undefined;
    const backend = this.#core.takeIdle();
    if (backend !== undefined) this.#counters.leases += 1;
    return backend;
  }

  /**
   * Gets in line; answered later, never from within this call, at the latest `acquireTimeoutMs`
   * (as it is then) after `sinceMs`. A waiter that was moved passes its arrival as `sinceMs` and
   * stands before those who came after it. Refused with POOL_QUEUE_FULL when `waitersMax` are in
   * line, with the dial's error while the server cannot be reached and no backend works.
   */
  wait(waiter: Waiter<B>, sinceMs?: number): void {
    const core = this.#core;
    const nowMs = this.#clock.nowMs();
    const arrivalMs = sinceMs ?? nowMs;
    this.#minimum.asked(nowMs);
    if (this.#refusals.turnAway(waiter, arrivalMs, nowMs)) return;
    if (this.#cap.room === 0) this.#counters.exhausted += 1;
    this.#counters.waits[whyWaiting(core, this.#cap)] += 1;
    core.line.join(waiter, arrivalMs);
    if (core.idle.size > 0) {
      queueMicrotask(() => this.#settle(this.#clock.nowMs()));
      return;
    }
    this.#dials.forClients(nowMs);
    this.#cap.relieve(nowMs);
    if (this.#cap.room === 0) this.#cap.askForRoom();
    this.#timer.armFor(this.#needs.nextDueMs(nowMs), nowMs);
  }

  /** The client is gone: its waiter hears nothing more. Ignored when it was answered already. */
  cancelWait(waiter: Waiter<B>): void {
    this.#core.line.cancel(waiter);
  }

  /**
   * Gives back a leased backend; the longest waiter is served at once. A dirty one is reset first.
   * Must be the only and last use by its client.
   */
  release(backend: B, condition: 'clean' | 'dirty'): void {
    const slot = this.#leasedSlot(backend);
    if (slot === undefined) return;
    const nowMs = this.#clock.nowMs();
    if (condition === 'clean') this.#giveBack(slot, nowMs);
    else this.#clean(slot, backend, nowMs);
  }

  /** Gives back a leased or kept backend that no client may have again. */
  discard(backend: B, reason: CloseReason): void {
    this.#keeping.end(backend);
    const slot = this.#leasedSlot(backend, 'kept');
    if (slot === undefined) return;
    this.#close(slot, reason);
    this.#settle(this.#clock.nowMs());
  }

  /**
   * Keeps a leased backend for the proxy's own use, until `discard`: no client is counted for it.
   * `keeper` hears when it is to go.
   * @returns `no_room`, and it is still leased, when no slot would be left for the tenant's clients
   */
  keep(backend: B, keeper: Keeper): 'kept' | 'no_room' {
    if (!this.#cap.mayKeep) return 'no_room';
    const slot = this.#leasedSlot(backend);
    if (slot !== undefined) this.#core.toKept(slot);
    this.#keeping.begin(backend, keeper);
    this.#keeping.tell(this.#core.whyNotKeep);
    return 'kept';
  }

  /** A kept backend serves clients again, once it was reset. Its keeper hears no more of it. */
  endKeeping(backend: B): void {
    this.#keeping.end(backend);
    const slot = this.#leasedSlot(backend, 'kept');
    if (slot === undefined) return;
    this.#core.toLeased(slot);
    this.#clean(slot, backend, this.#clock.nowMs());
  }

  /** Takes new settings in place. They hold for those in line too; surplus slots close idle. */
  resize(settings: PoolSettings): void {
    if (this.#core.drainReason !== undefined) return;
    const nowMs = this.#clock.nowMs();
    this.#core.settings = settings;
    this.#cap.resize(settings.maxConnections, nowMs, reserveOf(settings));
    this.#limitChanged(nowMs);
  }

  /**
   * Obeys another state of the tenant. Paused: idle backends close now and others when they are
   * given back, who is in line waits for `active`, up to `pauseWaitTimeoutMs`. Draining: who is in
   * line is served, then all close. Waits count anew from here.
   */
  direct(traffic: TenantTraffic): void {
    if (this.#core.traffic === traffic) return;
    this.#core.turn(traffic, this.#clock.nowMs());
    this.#keeping.tell(this.#core.whyNotKeep);
    this.sweep();
  }

  /**
   * Ends the pool: no new leases, idle backends close now and leased ones when they are given
   * back. Who is in line is moved, or refused with SHUTTING_DOWN when that is the reason.
   * Idempotent; the first reason counts.
   * @returns when the last slot is free.
   */
  drain(reason: CloseReason): Promise<void> {
    const core = this.#core;
    if (core.drainReason === undefined) {
      core.drainReason = reason;
      this.#timer.cancel();
      this.#refusals.emptyLine();
      this.#dials.end();
      const unused = [...core.idle, ...core.checking, ...core.resetting];
      for (const slot of unused) this.#close(slot, reason);
      this.#keeping.tell(reason);
      this.#finishDrain();
    }
    return this.#drained.promise;
  }

  /**
   * Opens what the minimum lacks, from now on although no client has come; for a while as many as
   * `slots`, which the pool that this one replaces had in use.
   */
  warm(slots = 0): void {
    this.#minimum.warm(slots, this.#clock.nowMs());
  }

  /**
   * Closes what is idle for too long, too old or too many; asks what is idle for long whether its
   * server is there; opens what the minimum lacks.
   */
  sweep(): void {
    const core = this.#core;
    const nowMs = this.#clock.nowMs();
    for (const slot of Array.from(core.idle)) {
      const reason = slot.state === 'idle' ? core.whySweep(slot, nowMs) : undefined;
      if (reason !== undefined) this.#close(slot, reason);
    }
    this.#settle(nowMs);
    for (const slot of core.checksDue(nowMs)) {
      if (slot.backend !== undefined) this.#upkeep.check(slot, slot.backend);
    }
    this.#minimum.keep(nowMs);
  }

  /** What a pool in its place needs at once; undefined when it is not in use. */
  get busy(): number | undefined {
    return this.#minimum.busy;
  }

  /** Since when it has had neither backends nor clients; undefined while it has, or is paused. */
  get emptySinceMs(): number | undefined {
    return this.#core.traffic === 'paused' ? undefined : this.#minimum.emptySinceMs;
  }

  stats(): PoolStats {
    return statsOf(this.#core, this.#counters, this.#refusals.hindrance, this.#clock.nowMs());
  }

  // --- clients ---

  #serve(nowMs: number): void {
    const { line, idle } = this.#core;
    while (line.head !== undefined && idle.first !== undefined) {
      const { sinceMs } = line.head;
      if (this.#cap.owesSibling(this.#member, sinceMs, nowMs)) {
        this.#closeLongestIdle('evicted');
        continue;
      }
      const waiter = line.shift();
      const backend = this.#core.takeIdle();
      assert(waiter !== undefined && backend !== undefined, 'both were there a moment ago');
      this.#counters.leases += 1;
      this.#counters.waitedMs += nowMs - sinceMs;
      this.#grant(waiter, backend);
    }
  }

  #grant(waiter: Waiter<B>, backend: B): void {
    try {
      waiter.granted(backend);
    } catch (error) {
      this.#log.error({ error }, 'a client failed while it took its server connection');
      const slot = this.#core.slotOf(backend);
      if (slot?.state === 'leased') this.#close(slot, 'suspect_state');
    }
  }

  // --- slots ---

  /** @throws InvariantViolation when the client does not hold `backend`: given back twice. */
  #leasedSlot(backend: B, or: 'leased' | 'kept' = 'leased'): Slot<B> | undefined {
    const slot = this.#core.slotOf(backend);
    if (slot?.state === 'leased' || slot?.state === or) return slot;
    assert(this.#lost.delete(backend), 'a backend is given back once, by the client that holds it');
    return undefined;
  }

  #giveBack(slot: Slot<B>, nowMs: number): void {
    const core = this.#core;
    const reason = core.whyClose(slot, nowMs);
    if (reason === undefined) core.toIdle(slot, nowMs);
    else this.#close(slot, reason);
    const isWanted = core.line.size > 0 || this.#cap.isWantedBeside(this.#member);
    if (reason !== undefined || isWanted) this.#settle(nowMs);
  }

  #clean(slot: Slot<B>, backend: B, nowMs: number): void {
    const reason = this.#core.whyClose(slot, nowMs);
    if (reason === undefined) return this.#upkeep.clean(slot, backend);
    this.#close(slot, reason);
    this.#settle(nowMs);
  }

  #close(slot: Slot<B>, reason: CloseReason): void {
    const { backend } = slot;
    assert(backend !== undefined, 'only a slot with a backend can close');
    this.#core.toClosing(slot);
    this.#counters.closes[reason] += 1;
    this.#log.debug({ reason }, 'server connection closing');
    backend.close(reason);
  }

  #closeLongestIdle(reason: CloseReason): void {
    const { first } = this.#core.idle;
    if (first !== undefined) this.#close(first, reason);
  }

  #serverClosed(slot: Slot<B>): void {
    const { state, backend } = slot;
    if (state === 'free') return;
    if (state !== 'closing') this.#counters.closes.server_gone += 1;
    const holder = state === 'leased' || state === 'kept' ? backend : undefined;
    if (holder !== undefined) this.#lost.add(holder);
    this.#core.free(slot);
    this.#slotFreed();
  }

  #slotFreed(): void {
    const nowMs = this.#clock.nowMs();
    this.#cap.deal(nowMs);
    this.#settle(nowMs);
    this.#finishDrain();
  }

  #finishDrain(): void {
    if (this.#core.drainReason === undefined || this.#core.occupied > 0) return;
    this.#cap.leave(this.#member);
    this.#drained.resolve();
  }

  // --- what follows from a change ---

  #limitChanged(nowMs: number): void {
    if (this.#cap.kept >= this.#cap.limit) this.#keeping.tell('over_limit');
    this.#settle(nowMs);
  }

  /** Serves, dials and refuses as far as it goes now. A call from within `granted` is taken up. */
  #settle(nowMs: number): void {
    if (this.#isServing) return;
    this.#isServing = true;
    try {
      this.#serve(nowMs);
    } finally {
      this.#isServing = false;
    }
    this.#dials.forClients(nowMs);
    this.#refusals.refuseHopeless(nowMs);
    this.#cap.relieve(nowMs);
    this.#timer.armFor(this.#needs.nextDueMs(nowMs), nowMs);
  }
}
