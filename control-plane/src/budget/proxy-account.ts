/**
 * One proxy in the books of the allocator: which life of it speaks, whether its lease may still
 * hold, which share it may have, and the grant that is under way. Plain data.
 */
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetShare } from '@dbbouncer/shared/contract/budget.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Entry } from './entry.ts';

/** A lease is over for sure: clocks differ by 1 % at most, and twice that is taken. */
export const LEASE_SURELY_OVER_MS = BUDGET_LIMITS.leaseMs * 1.02 + 500;
/** Who has said nothing for so long is given nothing more. */
export const QUIET_AFTER_MS = 2.5 * BUDGET_LIMITS.heartbeatMs;

/** A share, or that it is not known to have one: in the order of how much it gives. */
export function divisorOf(share: BudgetShare): number {
  return share === null ? Infinity : share.divisor;
}

/** A grant that the proxy has not answered. */
export interface UnderWay {
  readonly number: number;
  readonly sentMs: number;
  readonly entries: readonly Entry[];
  readonly asksAfter: string | undefined;
}

export class ProxyAccount {
  readonly id: ProxyId;
  life: number;
  /** When this life was heard first. */
  lifeFromMs: number;
  lifeLeft: 'nothing' | 'maybe' = 'maybe';
  /** Of its newest needs. */
  needsNumber = 0;
  stampMs = 0;
  heardMs: number;
  /** When the needs were heard from which its lease counts at the latest. */
  leaseFromMs: number;
  /** `over`: it obeys floors until it has been told everything anew. */
  lease: 'may_hold' | 'over' = 'may_hold';
  /**
   * `silent`: nothing was heard of this life in this term; `telling`: it is asked for all that
   * departs from the formula; `correcting`: it has to obey what was decided while its lease was
   * over; `known`: the books are right.
   */
  standing: 'silent' | 'telling' | 'correcting' | 'known' = 'silent';
  /**
   * Of tenants that it has not named it may have `anything`: what a former term gave; or what the
   * formula says.
   */
  unnamed: 'formula' | 'anything' = 'formula';
  /** What a former life had of tenants that nobody has named in this term. */
  unnamedLeft: 'nothing' | 'anything' = 'nothing';
  /** Through the tenants on declared servers that it may have and has not named. */
  unnamedWalk: Iterator<string | undefined> | 'done' | undefined;
  appliedPosition = 0;
  /** Of configs before this one nobody in this term knows what they said. */
  configsFrom = 0;
  share: BudgetShare = null;
  sentShare: { readonly number: number; readonly share: BudgetShare } | undefined;
  /** Everything that was ever sent in a row without being obeyed counts by the smallest. */
  possibleDivisor = Infinity;
  /** The life and share that the record of the fleet holds. */
  recorded: 'no' | 'yes' = 'no';
  recordedDivisor = Infinity;
  /** Whether it is told explicit figures so that its part can grow. */
  part: 'steady' | 'about_to_grow' = 'steady';
  partTriedMs = -Infinity;
  grantNumber = 0;
  obeyedNumber = 0;
  underWay: UnderWay | undefined;
  grantedMs = -Infinity;
  retryMs = 0;
  tellings = 0;
  toldUpTo: string | undefined;
  /** Its part is being taken back; then it is forgotten. */
  leaving: 'no' | 'yes' = 'no';
  /** Its tenants that have something to be sent. */
  readonly queue = new Set<Entry>();
  readonly entries = new Map<string, Entry>();
  /** Those of which something was sent that is not known to be obeyed. */
  readonly unconfirmed = new Set<Entry>();
  /** Those that held more than they may when it spoke last. */
  readonly above = new Set<Entry>();

  constructor(id: ProxyId, life: number, nowMs: number) {
    this.id = id;
    this.life = life;
    this.heardMs = nowMs;
    this.lifeFromMs = nowMs;
    this.leaseFromMs = nowMs;
  }

  /** Whether it may have, or have left, something of a tenant that it has not named. */
  get mayHaveUnnamed(): boolean {
    return this.unnamed === 'anything' || this.unnamedLeft === 'anything';
  }

  /** Whether it can be given more. */
  mayGrow(nowMs: number): boolean {
    return (
      this.standing === 'known' && this.leaving === 'no' && nowMs - this.heardMs < QUIET_AFTER_MS
    );
  }

  isLeaseSurelyOver(nowMs: number): boolean {
    return nowMs - this.leaseFromMs > LEASE_SURELY_OVER_MS;
  }

  /** The smallest divisor it may go by. */
  get divisorLeast(): number {
    return Math.min(divisorOf(this.share), this.possibleDivisor);
  }

  shareObeyed(share: BudgetShare): void {
    this.share = share;
    this.sentShare = undefined;
    this.possibleDivisor = Infinity;
  }
}
