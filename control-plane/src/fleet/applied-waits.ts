/**
 * Who waits until a change has reached the proxies. Looks at the fleet once per report however many
 * wait, and each second besides, since proxies are lost in silence.
 */
import { REPORT_INTERVAL_MS } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { FleetReader, ProxyView } from './fleet-state.ts';

export const APPLIED_WAIT_LIMITS = Object.freeze({
  /** Writes that may wait at the same time. */
  waitsMax: 1_000,
});

/** A live proxy that has not applied the position yet. */
export interface LaggingProxy {
  readonly proxy: ProxyId;
  /**
   * `rejected`: it refuses what leads there. `no_report`: it has said nothing since the wait began.
   * `behind`: it has said that it is not there yet.
   */
  readonly reason: 'rejected' | 'no_report' | 'behind';
  /** What it said of its refusal. */
  readonly detail: string | undefined;
  readonly appliedPosition: Position;
}

export interface Applied {
  /** Live proxies that have applied the position. */
  readonly proxies: number;
  /** Live proxies that have not; empty when the change is in force. */
  readonly lagging: readonly LaggingProxy[];
  /** Proxies heard of lately that are silent now: what they serve is not known. */
  readonly lost: readonly ProxyId[];
}

interface Wait {
  readonly position: Position;
  readonly sinceMs: number;
  readonly answer: (applied: Applied) => void;
  readonly timer: Timer;
}

/** A place among those who may wait, taken before the change is made. */
export interface WaitPlace {
  /** Resolves when every live proxy has applied `position`, or after `timeoutMs`; never rejects. */
  until(position: Position, timeoutMs: number): Promise<Applied>;
  /** Gives the place back; safe to call twice. */
  leave(): void;
}

export class AppliedWaits {
  readonly #fleet: FleetReader;
  readonly #clock: Clock;
  readonly #waits = new Set<Wait>();
  #places = 0;
  #unsubscribe: (() => void) | undefined;
  #tick: Timer | undefined;

  constructor(fleet: FleetReader, clock: Clock) {
    this.#fleet = fleet;
    this.#clock = clock;
  }

  /** How many have a place. */
  get places(): number {
    return this.#places;
  }

  /** A place, or nothing when `waitsMax` are taken. */
  take(): WaitPlace | undefined {
    if (this.#places >= APPLIED_WAIT_LIMITS.waitsMax) return undefined;
    this.#places += 1;
    let isTaken = true;
    return {
      until: (position, timeoutMs) => this.#until(position, timeoutMs),
      leave: () => {
        if (isTaken) this.#places -= 1;
        isTaken = false;
      },
    };
  }

  #until(position: Position, timeoutMs: number): Promise<Applied> {
    const sinceMs = this.#clock.nowMs();
    const applied = this.#look(position, sinceMs);
    if (applied.lagging.length === 0) return Promise.resolve(applied);
    const { promise, resolve } = Promise.withResolvers<Applied>();
    const wait: Wait = {
      position,
      sinceMs,
      answer: resolve,
      timer: this.#clock.after(timeoutMs, () => this.#end(wait)),
    };
    this.#waits.add(wait);
    this.#unsubscribe ??= this.#fleet.onReport(() => this.#endReached());
    this.#tick ??= this.#clock.after(REPORT_INTERVAL_MS, () => this.#ticked());
    return promise;
  }

  #ticked(): void {
    this.#tick = undefined;
    this.#endReached();
    if (this.#waits.size === 0) return;
    this.#tick = this.#clock.after(REPORT_INTERVAL_MS, () => this.#ticked());
  }

  #endReached(): void {
    if (this.#waits.size === 0) return;
    const positions = live(this.#fleet.proxies()).map(({ report }) => report.appliedPosition);
    const reachedByAll = Math.min(...positions);
    for (const wait of this.#waits) if (wait.position <= reachedByAll) this.#end(wait);
  }

  #end(wait: Wait): void {
    wait.timer.cancel();
    this.#waits.delete(wait);
    wait.answer(this.#look(wait.position, wait.sinceMs));
    if (this.#waits.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#tick?.cancel();
    this.#tick = undefined;
  }

  #look(position: Position, sinceMs: number): Applied {
    const all = this.#fleet.proxies();
    const waitedMs = this.#clock.nowMs() - sinceMs;
    const lagging = live(all)
      .filter(({ report }) => report.appliedPosition < position)
      .map((view) => laggingProxy(view, waitedMs));
    return {
      proxies: live(all).length - lagging.length,
      lagging,
      lost: all.filter(({ status }) => status === 'lost').map(({ id }) => id),
    };
  }
}

function live(proxies: readonly ProxyView[]): readonly ProxyView[] {
  return proxies.filter(({ status }) => status === 'live');
}

/** A refusal it reports holds until its config leads past it, so it is what keeps it behind. */
function laggingProxy({ id, silentMs, report }: ProxyView, waitedMs: number): LaggingProxy {
  const { appliedPosition, rejected } = report;
  const facts = { proxy: id, appliedPosition, detail: rejected?.reason };
  if (rejected !== undefined) return { ...facts, reason: 'rejected' };
  return { ...facts, reason: silentMs > waitedMs ? 'no_report' : 'behind' };
}
