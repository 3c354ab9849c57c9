/**
 * One tenant on one proxy in the books of the allocator: what the proxy has told, what it was sent
 * and may obey any moment, and what is about to be sent. Plain data.
 */
import type { TenantNeeds } from '@dbbouncer/shared/contract/budget.ts';
import type { Claim } from './fair-shares.ts';
import type { ProxyAccount } from './proxy-account.ts';
import type { TenantAccount } from './tenant-account.ts';

/** Explicit figures, or the part that the formula gives. */
export type Figures =
  | { readonly follows: 'formula' }
  | { readonly follows: 'grant'; readonly floor: number; readonly limit: number };

export const BY_FORMULA: Figures = Object.freeze({ follows: 'formula' });

/** Sent, and not known to be obeyed; of several one stands, or none. */
interface Sent {
  readonly number: number;
  readonly figures: Figures;
  /** All that may be in force until that is known. */
  readonly possible: readonly Figures[];
}

export class Entry implements Claim {
  readonly tenant: TenantAccount;
  readonly proxy: ProxyAccount;
  /** In force, as was told or answered last. */
  told: Figures = BY_FORMULA;
  sent: Sent | undefined;
  /** To be sent; it counts from its decision on. */
  planned: Figures | undefined;
  /** Slots it occupied; it may occupy as many as are in force beside. */
  held = 0;
  /** Slots of earlier lives that nobody has seen to be gone. */
  left = 0;
  wanted = 0;
  /** When it was named last. */
  namedMs = 0;
  /** When it last wanted more than its part; what it has beyond that is then taken back later. */
  neededAtMs = 0;
  looked: TenantNeeds['looked'] = 'yes';
  /** The grant that was in force when it was told last. */
  toldNumber = 0;
  /** In which telling of the proxy it was named. */
  telling = 0;
  /** Until when a slot is wanted for a look, not for clients. */
  wantedForLookUntilMs = 0;
  /** Since when it wants more than it may have; undefined: it does not. */
  hungrySinceMs: number | undefined;
  turnBeganMs = 0;
  turnEndedMs = 0;

  constructor(tenant: TenantAccount, proxy: ProxyAccount) {
    this.tenant = tenant;
    this.proxy = proxy;
  }

  get has(): number {
    return capOf(this.planned ?? this.sent?.figures ?? this.told, this.tenant.formula(this.proxy));
  }

  /** What the proxy is or will be told to obey. */
  get latest(): Figures {
    return this.planned ?? this.sent?.figures ?? this.told;
  }

  /** Whether nothing is known of it that the formula would not say. */
  get isIdle(): boolean {
    return (
      this.told.follows === 'formula' &&
      this.sent === undefined &&
      this.planned === undefined &&
      this.held + this.left + this.wanted === 0 &&
      this.looked === 'yes' &&
      this.hungrySinceMs === undefined &&
      // That it has nothing would be forgotten, and not be known of it without being said.
      !this.proxy.mayHaveUnnamed
    );
  }

  /** Slots that the proxy occupies or may occupy before it hears anything more. */
  get liability(): number {
    return Math.max(this.present, this.left);
  }

  /** The same without what earlier lives have left. */
  get present(): number {
    return Math.max(this.held, this.capMost);
  }

  /** The most that figures which may be in force allow. */
  get capMost(): number {
    const { tenant, proxy, sent, planned } = this;
    const formula = tenant.formulaMost(proxy);
    const allows = proxy.lease === 'over' ? floorOf : capOf;
    let most = allows(this.told, formula);
    for (const figures of sent?.possible ?? []) most = Math.max(most, allows(figures, formula));
    return planned === undefined ? most : Math.max(most, allows(planned, formula));
  }

  /** What was sent and is not under way any more goes out again: nobody knows that it arrived. */
  plan(figures: Figures): void {
    const { sent, told, proxy } = this;
    const isOnItsWay = sent !== undefined && sent.number === proxy.underWay?.number;
    const isLost = sent !== undefined && !isOnItsWay;
    const isSaid = !isLost && isSame(figures, sent?.figures ?? told);
    this.planned = isSaid ? undefined : figures;
  }

  /** What was planned goes out in grant `number`. */
  send(number: number): Figures {
    const figures = this.latest;
    const before = this.sent?.possible ?? [];
    this.sent = { number, figures, possible: [...before, figures] };
    this.planned = undefined;
    return figures;
  }

  /** The proxy has obeyed the grant in which it was sent last. */
  obeyed(): void {
    if (this.sent !== undefined) this.told = this.sent.figures;
    this.sent = undefined;
  }

  /** It was not obeyed, as far as is known; it goes out again unless something newer does. */
  sendAgain(): void {
    this.planned ??= this.sent?.figures;
  }
}

export function capOf(figures: Figures, formula: number): number {
  return figures.follows === 'formula'
    ? formula
    : Math.max(figures.limit, Math.min(figures.floor, formula));
}

export function floorOf(figures: Figures, formula: number): number {
  return figures.follows === 'formula' ? formula : Math.min(figures.floor, formula);
}

export function isSame(a: Figures, b: Figures): boolean {
  if (a.follows === 'formula' || b.follows === 'formula') return a.follows === b.follows;
  return a.floor === b.floor && a.limit === b.limit;
}
