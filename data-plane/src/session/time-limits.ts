/**
 * How long clients may be idle, keep a transaction, wait for a statement, and leave replies unread.
 * Looked at now and then, tenant by tenant: a statement costs no timer. A limit is met late, by up
 * to a tenth of it, but 50 ms at least and a second at most, and never early.
 * Owns: measuring. Leaves: what ends or is cancelled to the sessions.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { DueTimer } from '../pool/due-timer.ts';
import type { Router } from '../routing/router.ts';
import type { SessionRegistry } from './session.ts';

/**
 * - `idle`: between transactions, it is the client's turn
 * - `idle_in_transaction`: it is the client's turn, in the midst of something
 * - `query`: it is the server's turn
 * - `untimed`: it waits for the proxy, which has deadlines of its own, or has ended
 */
export type Activity = 'idle' | 'idle_in_transaction' | 'query' | 'untimed';

/** A session as its times are taken. Where a mark stays, what it marks is the same as before. */
export interface Timed {
  readonly activity: Activity;
  /** Another one after each turn, of the client or of the server. */
  readonly turnMark: number;
  /** Another one in each transaction. */
  readonly transactionMark: number;
  /** Grows as the client takes what is there for it; undefined when it has taken all. */
  readonly deliveryMark: number | undefined;
  /** Its times, kept by whoever takes them. */
  readonly stopwatch: Stopwatch;
  expired(limit: TimeLimit, limitMs: number): void;
}

/** `cancel_wait`: after `query`, when the server has not ended the statement. */
export type TimeLimit =
  'client_idle' | 'idle_in_transaction' | 'transaction' | 'query' | 'cancel_wait' | 'slow_client';

const INTERVAL_MIN_MS = 50;
const INTERVAL_MAX_MS = 1_000;
/** A look that comes so late says that the process stood still. */
const STALL_MS = 30;
/** How soon it looks again then. */
const RESUMED_MS = 10;
/** How many times a limit is looked at before it is met. */
const LOOKS = 10;

export interface TimeLimitsOptions {
  readonly registry: SessionRegistry;
  readonly router: Router;
  readonly clock: Clock;
}

export class TimeLimits {
  readonly #options: TimeLimitsOptions;
  readonly #timer: DueTimer;
  /** When each tenant that has limits, and sessions, is looked at next. */
  #due = new Map<string, number>();
  #nearestMs = Infinity;
  /** The last time it was woken late, and has not looked. */
  #resumed = false;

  constructor(options: TimeLimitsOptions) {
    this.#options = options;
    this.#timer = new DueTimer(options.clock, (nowMs) => this.#woken(nowMs));
    const nowMs = options.clock.nowMs();
    this.#lookAt(nowMs + INTERVAL_MAX_MS, nowMs);
  }

  stop(): void {
    this.#timer.cancel();
  }

  /** A session of this tenant begins: its limits may be shorter than those that are looked at. */
  expect(tenantKey: string): void {
    if (this.#due.has(tenantKey)) return;
    const settings = this.#settingsOf(tenantKey);
    if (settings === undefined) return;
    const nowMs = this.#options.clock.nowMs();
    const dueMs = nowMs + intervalFor(settings);
    this.#due.set(tenantKey, dueMs);
    this.#lookAt(dueMs, nowMs);
  }

  #lookAt(dueMs: number, nowMs: number): void {
    this.#nearestMs = Math.min(this.#nearestMs, dueMs);
    this.#timer.armFor(dueMs, nowMs);
  }

  #woken(nowMs: number): void {
    const lateMs = nowMs - this.#nearestMs;
    this.#nearestMs = Infinity;
    const hasStalled = lateMs > STALL_MS && !this.#resumed;
    this.#resumed = hasStalled;
    // What clients and servers have sent meanwhile is read first.
    if (hasStalled) this.#lookAt(nowMs + RESUMED_MS, nowMs);
    else this.#look(nowMs);
  }

  #look(nowMs: number): void {
    const due = new Map<string, number>();
    let nearestMs = nowMs + INTERVAL_MAX_MS;
    for (const [key, sessions] of this.#options.registry.byTenant) {
      const settings = this.#settingsOf(key);
      if (settings === undefined) continue;
      let dueMs = this.#due.get(key) ?? nowMs;
      if (dueMs <= nowMs) {
        for (const { timed } of sessions) if (timed !== undefined) check(timed, settings, nowMs);
        dueMs = nowMs + intervalFor(settings);
      }
      due.set(key, dueMs);
      nearestMs = Math.min(nearestMs, dueMs);
    }
    this.#due = due;
    this.#lookAt(nearestMs, nowMs);
  }

  /** Undefined where there is no limit to look at. */
  #settingsOf(key: string): PoolSettings | undefined {
    const { current } = this.#options.router;
    const tenant = current.byKey(key);
    const settings = tenant && current.poolSettings(tenant);
    return settings !== undefined && shortest(settings) < Infinity ? settings : undefined;
  }
}

function shortest(settings: PoolSettings): number {
  return Math.min(
    orNever(settings.clientIdleTimeoutMs),
    orNever(settings.idleInTransactionTimeoutMs),
    orNever(settings.transactionTimeoutMs),
    orNever(settings.queryTimeoutMs),
    orNever(settings.slowClientTimeoutMs),
  );
}

function intervalFor(settings: PoolSettings): number {
  const intervalMs = shortest(settings) / LOOKS;
  return Math.min(INTERVAL_MAX_MS, Math.max(INTERVAL_MIN_MS, intervalMs));
}

/** 0 says that there is no limit. */
function orNever(limitMs: number): number {
  return limitMs === 0 ? Infinity : limitMs;
}

/** Since when something has been the same, as far as looks can tell. */
class Spell {
  #mark: unknown = NEVER_LOOKED;
  #sinceMs = 0;

  /** How long it has been so; 0 at the first look. */
  lasts(mark: unknown, nowMs: number): number {
    if (mark !== this.#mark) {
      this.#mark = mark;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs;
  }
}

const NEVER_LOOKED = Symbol('never looked');

/** The times of one session. */
export class Stopwatch {
  readonly #activity = new Spell();
  readonly #turn = new Spell();
  readonly #transaction = new Spell();
  readonly #delivery = new Spell();
  /** When the statement under way was cancelled for its time. */
  #cancelledMs: number | undefined;

  /** How long all that goes on has been going on. */
  look(session: Timed, nowMs: number): Times {
    const { activity, turnMark, transactionMark, deliveryMark } = session;
    const isBetween = activity === 'idle' || activity === 'untimed';
    const activityMs = this.#activity.lasts(activity, nowMs);
    const turnMs = Math.min(activityMs, this.#turn.lasts(turnMark, nowMs));
    if (turnMs === 0) this.#cancelledMs = undefined;
    return {
      activity,
      turnMs,
      transactionMs: this.#transaction.lasts(isBetween ? undefined : transactionMark, nowMs),
      deliveryMs: this.#delivery.lasts(deliveryMark, nowMs),
      cancelledMs: this.#cancelledMs === undefined ? undefined : nowMs - this.#cancelledMs,
    };
  }

  /** The statement under way was cancelled. */
  cancelled(nowMs: number): void {
    this.#cancelledMs = nowMs;
  }
}

interface Times {
  readonly activity: Activity;
  readonly turnMs: number;
  readonly transactionMs: number;
  /** How long the client has taken nothing of what is there for it, if there is something. */
  readonly deliveryMs: number;
  /** How long ago the statement under way was cancelled for its time. */
  readonly cancelledMs: number | undefined;
}

/** At most one limit at a time: the first may end the session. */
function check(session: Timed, settings: PoolSettings, nowMs: number): void {
  const times = session.stopwatch.look(session, nowMs);
  const { activity, turnMs, transactionMs, deliveryMs, cancelledMs } = times;
  const meets = (limit: TimeLimit, spentMs: number, limitMs: number): boolean => {
    const isMet = spentMs >= orNever(limitMs);
    if (isMet) session.expired(limit, limitMs);
    return isMet;
  };
  if (session.deliveryMark !== undefined) {
    if (meets('slow_client', deliveryMs, settings.slowClientTimeoutMs)) return;
  }
  if (activity === 'idle') return void meets('client_idle', turnMs, settings.clientIdleTimeoutMs);
  if (activity === 'untimed') return;
  if (meets('transaction', transactionMs, settings.transactionTimeoutMs)) return;
  if (activity === 'idle_in_transaction') {
    meets('idle_in_transaction', turnMs, settings.idleInTransactionTimeoutMs);
  } else if (cancelledMs !== undefined) {
    meets('cancel_wait', cancelledMs, settings.cancelWaitTimeoutMs);
  } else if (meets('query', turnMs, settings.queryTimeoutMs)) session.stopwatch.cancelled(nowMs);
}
