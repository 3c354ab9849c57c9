/**
 * The control plane's side of the fleet-wide budget: takes what proxies say, and gives what they
 * are to be told. Plain data: no clock, no bus; the time is passed in, and the same messages at the
 * same times lead to the same grants.
 * Owns: the order in which things are reckoned. Leaves: what is true to hearing.ts, who gets what
 * to decide.ts, who belongs to the fleet to members.ts, lost slots to looking.ts.
 */
import type {
  BudgetGrant,
  GrantAnswer,
  LookAnswer,
  ProxyNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { Books } from './books.ts';
import type { Tally } from './books.ts';
import type { BudgetConfig } from './budget-config.ts';
import { decide } from './decide.ts';
import { TURN_MS } from './fair-shares.ts';
import { nextGrant, REFUSED_AGAIN_MS } from './granting.ts';
import { Hearing } from './hearing.ts';
import { Looking } from './looking.ts';
import type { LookOrder } from './looking.ts';
import { Members } from './members.ts';
import type { RecordedFleet } from './members.ts';
import { LEASE_SURELY_OVER_MS } from './proxy-account.ts';
import type { ProxyAccount } from './proxy-account.ts';
import { allot } from './servers.ts';
import { enterUnnamed } from './unnamed.ts';

export interface AllocatorOptions {
  readonly term: number;
  /** At the begin of the term; changes follow by `configChanged`. */
  readonly config: BudgetConfig;
  readonly fleet: RecordedFleet;
  /** How many proxies there are when all are there; parts are never larger than that allows. */
  readonly expectedProxies: number | undefined;
  /** After so much silence somebody looks for what a proxy has left. */
  readonly proxyLostAfterMs: number;
  readonly nowMs: number;
}

/** What has to be sent or written now. */
export interface Orders {
  /** Each is answered with `grantAnswered`. */
  readonly grants: readonly BudgetGrant[];
  /** Each is answered with `lookAnswered`. */
  readonly looks: readonly LookOrder[];
  /** The whole record; answered with `membersWritten`. */
  readonly members: RecordedFleet | undefined;
}

/** Tenants that are decided in one step; the rest in the next. */
const DECIDED_MAX = 2_000;
const SWEEP_EVERY_MS = 5_000;
/** A silent proxy that could not reach anybody has no part any more; nor do we count one. */
const FORGOTTEN_AFTER_MS = BUDGET_LIMITS.floorTtlMs * 1.02 + 60_000;

export class Allocator {
  readonly term: number;
  readonly books: Books;
  readonly looking: Looking;
  readonly members: Members;
  readonly #hearing: Hearing;
  readonly #lostAfterMs: number;
  #sweptMs: number;
  #deposedBy = 0;

  constructor(options: AllocatorOptions) {
    const { term, config, fleet, expectedProxies, proxyLostAfterMs, nowMs } = options;
    this.term = term;
    this.books = new Books(config);
    this.#hearing = new Hearing(this.books, term);
    this.members = new Members(this.books, expectedProxies ?? 0, nowMs);
    this.looking = new Looking(this.books, proxyLostAfterMs);
    this.#lostAfterMs = proxyLostAfterMs;
    this.#sweptMs = nowMs;
    this.members.remember(fleet, nowMs);
    if (fleet.areAll === 'not_surely') this.books.beBlind(nowMs + LEASE_SURELY_OVER_MS);
  }

  /** A term above that some proxy obeys, or the same of somebody else; 0: none. Grants nothing. */
  get deposedBy(): number {
    return this.#deposedBy;
  }

  get tally(): Tally {
    return this.books.tally;
  }

  needs(message: ProxyNeeds, nowMs: number): void {
    const known = this.books.proxies.get(message.proxy);
    if (message.state === 'leaving' && known === undefined) return;
    // Nobody has obeyed what this one has not sent.
    const isOther =
      message.term === this.term && message.obeyed > (known?.grantNumber ?? this.books.numberFloor);
    if (isOther || message.term > this.term) this.#deposedBy = message.term;
    const proxy = this.#hearing.needs(message, nowMs);
    if (proxy === undefined) return;
    proxy.leaving = message.state === 'leaving' ? 'yes' : 'no';
    this.members.heard(proxy, nowMs);
  }

  /** @param answer `no_answer`: none came in time. An answer to an older grant says nothing. */
  grantAnswered(
    { proxy: id, life, number }: Pick<BudgetGrant, 'proxy' | 'life' | 'number'>,
    answer: GrantAnswer | 'no_answer',
    nowMs: number,
  ): void {
    const proxy = this.books.proxies.get(id);
    if (proxy?.life !== life || proxy.underWay?.number !== number) return;
    if (answer === 'no_answer') {
      this.books.tally.grantsUnanswered += 1;
      this.#hearing.unanswered(proxy, nowMs, 0);
    } else if (answer.outcome === 'refused') {
      if (answer.reason === 'older_term') this.#deposedBy = Math.max(answer.term, this.term + 1);
      const waitMs = answer.reason === 'older_number' ? 0 : REFUSED_AGAIN_MS;
      this.#hearing.unanswered(proxy, nowMs, waitMs);
    } else {
      this.#hearing.answer(proxy, answer, nowMs);
      this.#letGo(proxy, nowMs);
    }
  }

  lookAnswered(number: number, answer: LookAnswer | 'no_answer', nowMs: number): void {
    this.looking.answer(number, answer, nowMs);
  }

  membersWritten(outcome: 'written' | 'failed', nowMs: number): void {
    if (outcome === 'written') this.members.wrote();
    else this.members.notWritten(nowMs);
  }

  /** @param scope `all`: what holds for every tenant has changed, defaults or declared servers. */
  configChanged(config: BudgetConfig, keys: Iterable<string>, scope: 'named' | 'all'): void {
    this.books.changeConfig(config, keys, scope);
  }

  /** Forgets a member that is gone for good. @returns what it is instead where it is not lost */
  forget(id: ProxyId, nowMs: number): 'forgotten' | 'unknown' | 'live' {
    const proxy = this.books.proxies.get(id);
    if (proxy === undefined) return 'unknown';
    if (!this.isLost(proxy, nowMs)) return 'live';
    this.members.forget(proxy, nowMs);
    return 'forgotten';
  }

  isLost(proxy: ProxyAccount, nowMs: number): boolean {
    return nowMs - proxy.heardMs >= this.#lostAfterMs && proxy.isLeaseSurelyOver(nowMs);
  }

  /** Reckons what has become due, and gives what has to be sent. */
  step(nowMs: number): Orders {
    if (this.#deposedBy > 0) return { grants: [], looks: [], members: undefined };
    for (const proxy of this.books.proxies.values()) this.#age(proxy, nowMs);
    this.#reckon(nowMs);
    const grants: BudgetGrant[] = [];
    for (const proxy of this.books.proxies.values()) {
      const share = this.members.shareFor(proxy, nowMs);
      const grant = nextGrant(proxy, share, this, nowMs);
      if (grant !== undefined) grants.push(grant);
    }
    return {
      grants,
      looks: this.looking.orders(nowMs),
      members: this.members.toWrite(nowMs),
    };
  }

  /** In how many milliseconds there may be something to do although nothing is heard. */
  get nextStepMs(): number {
    if (this.books.dirty.size > 0) return 0;
    return this.books.contended.size > 0 || this.books.leftovers.size > 0 ? 50 : 100;
  }

  /** Who has left in good order is forgotten, unless earlier lives of it have left something. */
  #letGo(proxy: ProxyAccount, nowMs: number): void {
    if (proxy.leaving === 'no' || proxy.share !== null || proxy.sentShare !== undefined) return;
    if (proxy.unnamedLeft === 'anything') return;
    for (const { left, tenant } of proxy.entries.values()) {
      if (left > 0 && tenant.budget !== undefined) return;
    }
    this.members.forget(proxy, nowMs);
  }

  #age(proxy: ProxyAccount, nowMs: number): void {
    if (proxy.isLeaseSurelyOver(nowMs)) this.#hearing.leaseOver(proxy);
    const { underWay } = proxy;
    if (underWay !== undefined && nowMs - underWay.sentMs > 2 * BUDGET_LIMITS.grantTimeoutMs) {
      this.#hearing.unanswered(proxy, nowMs, 0);
    }
    this.#letGo(proxy, nowMs);
    if (nowMs - proxy.heardMs > FORGOTTEN_AFTER_MS) this.members.forget(proxy, nowMs);
  }

  #reckon(nowMs: number): void {
    const { books } = this;
    books.isBlind(nowMs);
    if (nowMs - this.#sweptMs >= SWEEP_EVERY_MS) {
      this.#sweptMs = nowMs;
      for (const proxy of books.proxies.values()) this.#hearing.sweep(proxy, nowMs);
    }
    for (const tenant of books.contended) {
      if (nowMs - tenant.reckonedMs >= TURN_MS / 2) books.dirty.add(tenant);
    }
    for (const proxy of books.proxies.values()) enterUnnamed(proxy, books);
    for (const server of books.servers.values()) allot(server, books, nowMs);
    let decided = 0;
    for (const tenant of books.dirty) {
      if (decided++ === DECIDED_MAX) break;
      books.dirty.delete(tenant);
      decide(tenant, books, nowMs);
    }
  }
}
