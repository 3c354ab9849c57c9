/**
 * Enters into the books what proxies say: their needs, their answers to grants, their silence.
 * Leaves what follows from it to decide.ts, members.ts and looks.ts.
 *
 * What a proxy tells is true for the grants it has obeyed by then (`obeyed`); what was sent since
 * may be in force any moment, and counts beside it. What was told before a grant that we know to be
 * obeyed is old: of that only what the proxy wants is taken.
 */
import type {
  BudgetShare,
  GrantAnswer,
  ProxyNeeds,
  TenantNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Books } from './books.ts';
import { BY_FORMULA, capOf } from './entry.ts';
import type { Entry, Figures } from './entry.ts';
import { divisorOf } from './proxy-account.ts';
import type { ProxyAccount } from './proxy-account.ts';

/** What is not named again within this time is not wanted any more. */
const NAMED_AGAIN_MS = 12_000;

type Obeyed = Extract<GrantAnswer, { outcome: 'obeyed' }>;

export class Hearing {
  readonly #books: Books;
  readonly #term: number;

  constructor(books: Books, term: number) {
    this.#books = books;
    this.#term = term;
  }

  /** @returns the proxy, or nothing where the message is older than what is known. */
  needs(message: ProxyNeeds, nowMs: number): ProxyAccount | undefined {
    const proxy = this.#books.proxy(message.proxy, message.life, nowMs);
    if (message.life < proxy.life) return undefined;
    if (message.life === proxy.life && message.number <= proxy.needsNumber) return undefined;
    if (message.life > proxy.life) this.#newLife(proxy, message, nowMs);
    if (message.left === 'nothing') this.#nothingLeft(proxy);
    proxy.needsNumber = message.number;
    proxy.stampMs = message.stampMs;
    proxy.heardMs = nowMs;
    if (proxy.standing === 'silent') this.#beginTelling(proxy);
    if (message.term !== this.#term) this.#shareOfOtherTerm(proxy, message.share);
    if (message.term !== this.#term || message.obeyed < proxy.obeyedNumber) {
      this.#wishes(proxy, message.tenants, nowMs);
      return proxy;
    }
    proxy.obeyedNumber = message.obeyed;
    this.#figures(proxy, message, nowMs);
    if (message.aboveOmitted === 0) this.#allAboveNamed(proxy, message);
    return proxy;
  }

  /** The answer to the grant that is under way. */
  answer(proxy: ProxyAccount, answer: Obeyed, nowMs: number): void {
    const { underWay } = proxy;
    if (underWay === undefined) return;
    proxy.underWay = undefined;
    if (answer.aboveOmitted > 0) {
      for (const entry of underWay.entries) resend(entry);
    } else {
      this.#obeyed(proxy, underWay.number, heldIn(answer), nowMs);
    }
    if (underWay.asksAfter !== undefined && answer.told !== undefined) {
      // It may have been counted as over, and its slots given away, before this term began.
      if (answer.lease === 'over') proxy.lease = 'over';
      this.#told(proxy, answer.told, nowMs);
    }
  }

  /** The grant under way was refused, or nobody knows whether it arrived. */
  unanswered(proxy: ProxyAccount, nowMs: number, waitMs: number): void {
    const { underWay } = proxy;
    if (underWay === undefined) return;
    proxy.underWay = undefined;
    proxy.retryMs = nowMs + waitMs;
    for (const entry of underWay.entries) resend(entry);
  }

  /** Its lease is over for sure; what it held it may still hold. */
  leaseOver(proxy: ProxyAccount): void {
    if (proxy.lease === 'over') return;
    for (const entry of proxy.entries.values()) {
      entry.held = Math.max(entry.held, entry.capMost);
      entry.wanted = 0;
      entry.hungrySinceMs = undefined;
      entry.planned = undefined;
      this.#books.leftovers.add(entry);
      this.#books.dirty.add(entry.tenant);
    }
    proxy.queue.clear();
    proxy.lease = 'over';
    if (proxy.standing !== 'silent') proxy.standing = 'telling';
    proxy.toldUpTo = undefined;
  }

  /** What it wanted and has not named for long is not wanted. */
  sweep(proxy: ProxyAccount, nowMs: number): void {
    for (const entry of proxy.entries.values()) {
      if (entry.wanted === 0 || nowMs - entry.namedMs < NAMED_AGAIN_MS) continue;
      entry.wanted = 0;
      this.#books.dirty.add(entry.tenant);
    }
  }

  /** Of an earlier life only what is on disk is in force, and that is never above the formula. */
  #newLife(
    proxy: ProxyAccount,
    { life, appliedPosition }: Pick<ProxyNeeds, 'life' | 'appliedPosition'>,
    nowMs: number,
  ): void {
    // A life in between, or the end of the last one, was never heard: it may have gone by a config
    // that gave more than the one of now.
    const isGap = life > proxy.life + 1 || appliedPosition > proxy.appliedPosition;
    for (const entry of proxy.entries.values()) {
      entry.left = entry.liability;
      entry.held = 0;
      entry.wanted = 0;
      entry.told = BY_FORMULA;
      entry.toldNumber = 0;
      entry.sent = undefined;
      entry.planned = undefined;
      entry.hungrySinceMs = undefined;
      this.#books.leftovers.add(entry);
      this.#books.dirty.add(entry.tenant);
    }
    if (isGap || proxy.unnamed === 'anything') proxy.unnamedLeft = 'anything';
    proxy.unnamedWalk = undefined;
    proxy.queue.clear();
    proxy.above.clear();
    proxy.unconfirmed.clear();
    proxy.life = life;
    proxy.lifeFromMs = nowMs;
    proxy.lifeLeft = 'maybe';
    proxy.lease = 'over';
    proxy.underWay = undefined;
    proxy.obeyedNumber = 0;
    proxy.retryMs = 0;
    if (proxy.standing !== 'silent') this.#beginTelling(proxy);
  }

  /** Every life before this one has ended in good order. */
  #nothingLeft(proxy: ProxyAccount): void {
    if (proxy.unnamedLeft === 'anything') this.#books.nothingLeft(proxy);
    if (proxy.lifeLeft === 'nothing') return;
    proxy.lifeLeft = 'nothing';
    for (const entry of proxy.entries.values()) {
      if (entry.left > 0) this.#books.dirty.add(entry.tenant);
      entry.left = 0;
    }
  }

  #beginTelling(proxy: ProxyAccount): void {
    proxy.standing = 'telling';
    proxy.tellings += 1;
    proxy.toldUpTo = undefined;
  }

  /** It may have more by now, from who granted then; it has not less. */
  #shareOfOtherTerm(proxy: ProxyAccount, share: BudgetShare): void {
    if (divisorOf(share) < proxy.divisorLeast) proxy.share = share;
  }

  /** What it does not name is not above what its share and its config allow. */
  #allAboveNamed(proxy: ProxyAccount, message: ProxyNeeds): void {
    const { sentShare } = proxy;
    if (sentShare === undefined) proxy.share = message.share;
    else if (message.obeyed >= sentShare.number) this.#shareObeyed(proxy, message.share);
    if (message.appliedPosition <= proxy.appliedPosition) return;
    proxy.appliedPosition = message.appliedPosition;
    this.#books.applied();
  }

  #shareObeyed(proxy: ProxyAccount, share: BudgetShare): void {
    proxy.shareObeyed(share);
    for (const entry of proxy.entries.values()) this.#books.dirty.add(entry.tenant);
  }

  #wishes(proxy: ProxyAccount, tenants: readonly TenantNeeds[], nowMs: number): void {
    for (const needs of tenants) {
      const { entry } = this.#named(proxy, needs, nowMs) ?? {};
      if (entry === undefined || entry.wanted === needs.wanted) continue;
      entry.wanted = needs.wanted;
      this.#books.dirty.add(entry.tenant);
    }
  }

  #figures(proxy: ProxyAccount, message: ProxyNeeds, nowMs: number): void {
    const named = new Set<Entry>();
    for (const needs of message.tenants) {
      const entry = this.#take(proxy, needs, message.obeyed, nowMs);
      if (entry !== undefined) named.add(entry);
    }
    if (message.aboveOmitted > 0) return;
    for (const entry of proxy.above) if (!named.has(entry)) this.#notAbove(entry);
  }

  /** Figures that are true for grant `obeyed`. */
  #take(proxy: ProxyAccount, needs: TenantNeeds, obeyed: number, nowMs: number): Entry | undefined {
    const found = this.#named(proxy, needs, nowMs);
    if (found === undefined) return undefined;
    const { entry, isNew } = found;
    const told = figuresIn(needs);
    const isAsBefore =
      !isNew &&
      entry.wanted === needs.wanted &&
      entry.held === needs.held &&
      entry.sent === undefined &&
      entry.looked === needs.looked &&
      entry.told.follows === needs.follows &&
      (told.follows === 'formula' ||
        (entry.told.follows === 'grant' &&
          entry.told.floor === told.floor &&
          entry.told.limit === told.limit));
    if (entry.sent !== undefined && entry.sent.number <= obeyed) {
      entry.sent = undefined;
      proxy.unconfirmed.delete(entry);
    }
    entry.told = told;
    entry.held = needs.held;
    entry.wanted = needs.wanted;
    entry.looked = needs.looked;
    entry.telling = proxy.tellings;
    entry.toldNumber = obeyed;
    if (needs.looked === 'yes') entry.left = 0;
    const formula = entry.tenant.formula(proxy);
    if (needs.held > capOf(told, formula)) proxy.above.add(entry);
    else proxy.above.delete(entry);
    const isModest = told.follows === 'formula' && Math.max(needs.wanted, needs.held) <= formula;
    if (isModest && entry.tenant.isCalm && entry.left === 0) return entry;
    if (isAsBefore && nowMs - entry.tenant.reckonedMs < REVIEW_MS) return entry;
    this.#books.dirty.add(entry.tenant);
    return entry;
  }

  #named(
    proxy: ProxyAccount,
    needs: TenantNeeds,
    nowMs: number,
  ): { readonly entry: Entry; readonly isNew: boolean } | undefined {
    const key = tenantKey(needs.tenant);
    let entry = proxy.entries.get(key);
    const isNew = entry === undefined;
    if (entry === undefined) {
      const isNothing = needs.follows === 'formula' && needs.wanted + needs.held === 0;
      if (isNothing && needs.looked === 'yes' && proxy.unnamed === 'formula') return undefined;
      entry = this.#books.tenant(key).entry(proxy);
    }
    entry.namedMs = nowMs;
    return { entry, isNew };
  }

  #notAbove(entry: Entry): void {
    entry.proxy.above.delete(entry);
    entry.held = Math.min(entry.held, capOf(entry.told, entry.tenant.formula(entry.proxy)));
    this.#books.dirty.add(entry.tenant);
  }

  /** Every grant up to `number` is in force; `above` names all that hold more. */
  #obeyed(
    proxy: ProxyAccount,
    number: number,
    above: ReadonlyMap<string, number>,
    nowMs: number,
  ): void {
    proxy.obeyedNumber = Math.max(proxy.obeyedNumber, number);
    const { sentShare } = proxy;
    if (sentShare !== undefined && sentShare.number <= number) {
      this.#shareObeyed(proxy, sentShare.share);
    }
    for (const [key, held] of above) this.#aboveNow(proxy, key, { held, number }, nowMs);
    for (const entry of proxy.unconfirmed) {
      // What went out in an earlier grant may never have arrived: it says nothing of that.
      if (entry.sent !== undefined && entry.sent.number !== number) continue;
      proxy.unconfirmed.delete(entry);
      entry.obeyed();
      if (!above.has(entry.tenant.key)) this.#notAbove(entry);
      this.#books.dirty.add(entry.tenant);
    }
  }

  #aboveNow(
    proxy: ProxyAccount,
    key: string,
    { held, number }: { readonly held: number; readonly number: number },
    nowMs: number,
  ): void {
    const entry = this.#books.tenant(key).entry(proxy);
    this.#books.dirty.add(entry.tenant);
    // Needs that were written after this answer have come before it.
    if (entry.toldNumber >= number) return;
    entry.held = held;
    entry.namedMs = nowMs;
    proxy.above.add(entry);
  }

  #told(proxy: ProxyAccount, { tenants, more }: NonNullable<Obeyed['told']>, nowMs: number): void {
    for (const needs of tenants) this.#take(proxy, needs, proxy.obeyedNumber, nowMs);
    proxy.toldUpTo =
      tenants.length === 0 ? proxy.toldUpTo : tenantKey(tenants.at(-1)?.tenant ?? '');
    if (more && tenants.length > 0) return;
    this.#allTold(proxy);
  }

  /** What was not named follows the formula, and holds nothing. */
  #allTold(proxy: ProxyAccount): void {
    this.#books.nameAll(proxy);
    for (const entry of proxy.entries.values()) {
      this.#books.dirty.add(entry.tenant);
      if (entry.telling === proxy.tellings || entry.sent !== undefined) continue;
      entry.told = BY_FORMULA;
      entry.held = 0;
    }
    proxy.standing = 'correcting';
  }
}

/** A tenant that departs from the formula is looked at again so often. */
const REVIEW_MS = 1_000;

function resend(entry: Entry): void {
  entry.sendAgain();
  if (entry.planned !== undefined) entry.proxy.queue.add(entry);
}

function figuresIn({ follows, floor, limit }: TenantNeeds): Figures {
  return follows === 'formula' ? BY_FORMULA : { follows, floor, limit };
}

function heldIn({ above }: Obeyed): ReadonlyMap<string, number> {
  return new Map(above.map(({ tenant, held }) => [tenantKey(tenant), held]));
}
