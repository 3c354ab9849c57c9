/**
 * How many dials of all pools of a proxy run side by side, and which pool has the next turn: a
 * start with thousands of tenants must not become thousands of logins at the same moment, and
 * tenants whose servers do not answer must not hold up the others.
 * Owns: the places, and the lines of pools that want one. Leaves: what a pool dials for to
 * pool-dials.ts.
 *
 * Pools that dial for clients go first; among equals each pool has one dial in its turn. A dial
 * gives its place back when it ends, or after `placeMs`: what takes longer waits for a server and
 * costs the proxy nothing. The first dial of a pool for a waiting client needs no place at all.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { DIAL_PLACE_MS } from './limits.ts';

/** Whom the dials of a pool are for. */
export type DialPurpose = 'clients' | 'minimum';

export interface GateMember {
  /** It is this pool's turn: begins one dial if it still wants one, and asks again for more. */
  turn(): void;
}

export interface DialGateOptions {
  readonly clock: Clock;
  /** Dials that run side by side; Infinity: it is always open. */
  readonly dialsMax: number;
  /** Default is DIAL_PLACE_MS. */
  readonly placeMs?: number;
}

export class DialGate {
  readonly #clock: Clock;
  readonly #dialsMax: number;
  readonly #placeMs: number;
  readonly #lines: Readonly<Record<DialPurpose, Set<GateMember>>> = {
    clients: new Set(),
    minimum: new Set(),
  };
  #taken = 0;
  #dealing = false;

  constructor({ clock, dialsMax, placeMs = DIAL_PLACE_MS }: DialGateOptions) {
    this.#clock = clock;
    this.#dialsMax = dialsMax;
    this.#placeMs = placeMs;
  }

  /** Whether a dial may begin that needs a place: one is free, and nobody is in line for it. */
  get isOpen(): boolean {
    if (this.#taken >= this.#dialsMax) return false;
    return this.#dealing || (this.#lines.clients.size === 0 && this.#lines.minimum.size === 0);
  }

  /** Dials that hold a place. */
  get taken(): number {
    return this.#taken;
  }

  /** A dial begins. @returns what to call when it has ended. */
  enter(): () => void {
    if (this.#dialsMax === Infinity) return () => {};
    this.#taken += 1;
    let timer: Timer | undefined = this.#clock.after(this.#placeMs, () => leave());
    const leave = (): void => {
      if (timer === undefined) return;
      timer.cancel();
      timer = undefined;
      this.#taken -= 1;
      this.#deal();
    };
    return leave;
  }

  /** `member` gets a turn when there is a place; a member is in one line once. */
  queue(member: GateMember, purpose: DialPurpose): void {
    if (purpose === 'clients') this.#lines.minimum.delete(member);
    else if (this.#lines.clients.has(member)) return;
    this.#lines[purpose].add(member);
  }

  /** The pool ends: it wants no turn any more. */
  forget(member: GateMember): void {
    for (const line of Object.values(this.#lines)) line.delete(member);
  }

  #deal(): void {
    if (this.#dealing) return;
    this.#dealing = true;
    try {
      while (this.#taken < this.#dialsMax) {
        const next = this.#next();
        if (next === undefined) break;
        next.turn();
      }
    } finally {
      this.#dealing = false;
    }
  }

  #next(): GateMember | undefined {
    for (const line of Object.values(this.#lines)) {
      for (const member of line) {
        line.delete(member);
        return member;
      }
    }
    return undefined;
  }
}
