/**
 * One slot of a tenant's limit without a pool: for a connection that serves no client and comes
 * from no config that is served. It stands in line with the tenant's pools for room.
 * Owns: waiting for it, occupying it once. Leaves: the count to tenant-cap.ts, the connection to
 * whoever takes the slot.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { CapMember, CapNeeds, TenantCap } from './tenant-cap.ts';

export interface LoneSlotOptions {
  readonly clock: Clock;
  /** How long to wait for room. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/** Who has it gives it back once, when the server has closed. */
export type GiveBack = () => void;

/**
 * Occupies a slot of `cap`; the longest idle one of the tenant's pools is closed for it when there
 * is no room. @returns what to call when the connection has closed; nothing when none was free in
 * time
 */
export function takeLoneSlot(
  cap: TenantCap,
  options: LoneSlotOptions,
): Promise<GiveBack | undefined> {
  return new Promise((resolve) => {
    new LoneSlot(cap, options, resolve).ask();
  });
}

class LoneSlot implements CapMember {
  readonly needs: CapNeeds;
  readonly #cap: TenantCap;
  readonly #options: LoneSlotOptions;
  readonly #resolve: (giveBack: GiveBack | undefined) => void;
  readonly #sinceMs: number;
  #state: 'waiting' | 'occupied' | 'over' = 'waiting';
  #stopWaiting: () => void = () => {};

  constructor(
    cap: TenantCap,
    options: LoneSlotOptions,
    resolve: (giveBack: GiveBack | undefined) => void,
  ) {
    this.#cap = cap;
    this.#options = options;
    this.#resolve = resolve;
    this.#sinceMs = options.clock.nowMs();
    const waiting = () => this.#state === 'waiting';
    const wanted = () => (this.#state === 'over' ? 0 : 1);
    this.needs = {
      retiring: 0,
      get waiting() {
        return waiting() ? 1 : 0;
      },
      idleSinceMs: undefined,
      get wanted() {
        return wanted();
      },
      takeWantedPeak: wanted,
      claimsBefore: (sinceMs) => (waiting() && this.#sinceMs < sinceMs ? 1 : 0),
      dialForMs: () => (waiting() ? this.#sinceMs : undefined),
    };
  }

  ask(): void {
    const { clock, limitMs, signal } = this.#options;
    const giveUp = () => this.#giveUp();
    const timer = clock.after(limitMs, giveUp);
    signal.addEventListener('abort', giveUp);
    this.#stopWaiting = () => {
      timer.cancel();
      signal.removeEventListener('abort', giveUp);
    };
    this.#cap.join(this);
    if (signal.aborted) return giveUp();
    this.#cap.deal(this.#sinceMs);
    if (this.#state !== 'waiting') return;
    this.#cap.relieve(this.#sinceMs);
    this.#cap.lacks();
  }

  /** There is room, and it is this one's turn. */
  dialOne(): void {
    this.#cap.occupy();
    this.#state = 'occupied';
    this.#stopWaiting();
    this.#resolve(() => this.#giveBack());
  }

  closeLongestIdle(): void {}
  wantKept(): void {}
  limitChanged(): void {
    if (this.#state === 'waiting') this.#cap.deal(this.#options.clock.nowMs());
  }

  #giveBack(): void {
    if (this.#state !== 'occupied') return;
    this.#cap.vacate('other');
    this.#leave();
  }

  #giveUp(): void {
    if (this.#state !== 'waiting') return;
    this.#stopWaiting();
    this.#leave();
    this.#resolve(undefined);
  }

  #leave(): void {
    this.#state = 'over';
    this.#cap.leave(this);
    this.#cap.deal(this.#options.clock.nowMs());
  }
}
