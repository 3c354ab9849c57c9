/** What one pool has at hand and lacks at the moment, for who decides how to use it. */
import type { Backend } from '../upstream/upstream.ts';
import type { PoolCore } from './pool-core.ts';
import type { SlotCap } from './slot-cap.ts';
import type { CapMember } from './tenant-cap.ts';

export class PoolCondition<B extends Backend> {
  readonly #core: PoolCore<B, unknown>;
  readonly #cap: SlotCap;
  readonly #member: CapMember;

  constructor(core: PoolCore<B, unknown>, cap: SlotCap, member: CapMember) {
    this.#core = core;
    this.#cap = cap;
    this.#member = member;
  }

  /** Whether a backend is at hand. */
  get hasIdle(): boolean {
    return this.#core.idle.size > 0;
  }

  /** Since when the first in line waits; undefined when nobody does. */
  get longestSinceMs(): number | undefined {
    return this.#core.line.head?.sinceMs;
  }

  /** Slots that its tenant, or user, may occupy. */
  get limit(): number {
    return this.#cap.limit;
  }

  /** Whether clients hold backends now, or wait for one that is being dialed. */
  get isBusy(): boolean {
    return this.#core.leased.size + this.#core.dialing.size > 0;
  }

  /** Whether one more who gets in line would have a slot to itself. */
  get hasRoom(): boolean {
    return this.#core.line.size < this.#cap.room;
  }

  /** Whether somebody waits, here or in a pool of the same tenant, who only needs a slot. */
  get isShort(): boolean {
    if (this.#cap.room > 0) return false;
    return this.#core.line.size > 0 || this.#cap.isWantedBeside(this.#member);
  }
}
