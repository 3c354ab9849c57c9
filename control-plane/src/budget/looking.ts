/**
 * Has live proxies look for what lost ones, or earlier lives, have left on the servers, so that its
 * slots can be granted again. Owns: who looks for what and when. Leaves: looking to the proxies.
 *
 * Only what cannot grow is looked for: a life that has ended, or one whose lease is over for sure.
 */
import type { LookAnswer, LookRequest } from '@dbbouncer/shared/contract/budget.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Books } from './books.ts';
import type { Entry } from './entry.ts';
import { QUIET_AFTER_MS } from './proxy-account.ts';
import type { ProxyAccount } from './proxy-account.ts';

const UNDER_WAY_MAX = 16;
const AGAIN_FIRST_MS = 300;
const AGAIN_MOST_MS = 10_000;
/** A new life has its own look first. */
const OWN_LOOK_MS = 1_000;
/** A slot that a look needs is asked for so long. */
const SLOT_FOR_LOOK_MS = 3_000;

export interface LookOrder {
  /** For the answer. */
  readonly number: number;
  readonly looker: ProxyId;
  readonly request: LookRequest;
}

/** Why the slots of an entry are not known to be free. */
export type LookProblem = Extract<LookAnswer, { outcome: 'cannot' }>['reason'] | 'no_answer';

interface Search {
  nextMs: number;
  tries: number;
  problem: LookProblem | undefined;
  message: string;
}

interface UnderWay {
  readonly entry: Entry;
  readonly life: number;
  readonly ofLife: 'earlier' | 'this';
  readonly looker: ProxyAccount;
}

export class Looking {
  readonly #books: Books;
  readonly #lostAfterMs: number;
  readonly #searches = new Map<Entry, Search>();
  readonly #underWay = new Map<number, UnderWay>();
  #number = 0;

  constructor(books: Books, lostAfterMs: number) {
    this.#books = books;
    this.#lostAfterMs = lostAfterMs;
  }

  /** What is to be looked for now. */
  orders(nowMs: number): readonly LookOrder[] {
    const orders: LookOrder[] = [];
    for (const entry of this.#books.leftovers) {
      if (this.#underWay.size >= UNDER_WAY_MAX) break;
      if (!isLeft(entry)) this.#end(entry);
      else if (this.#isDue(entry, nowMs)) {
        const order = this.#order(entry, nowMs);
        if (order !== undefined) orders.push(order);
      }
    }
    return orders;
  }

  answer(number: number, answer: LookAnswer | 'no_answer', nowMs: number): void {
    const look = this.#underWay.get(number);
    this.#underWay.delete(number);
    if (look === undefined || !this.#books.leftovers.has(look.entry)) return;
    const { entry, looker } = look;
    const search = this.#search(entry);
    search.nextMs = nowMs + Math.min(AGAIN_MOST_MS, AGAIN_FIRST_MS * 2 ** search.tries);
    search.tries += 1;
    if (answer === 'no_answer' || answer.outcome === 'cannot') {
      search.problem = answer === 'no_answer' ? answer : answer.reason;
      search.message = answer === 'no_answer' ? '' : answer.message;
      if (search.problem === 'no_slot') this.#wantSlot(entry, looker, nowMs);
      return;
    }
    this.#books.tally.endedByLooks += answer.ended;
    search.problem = undefined;
    this.#seen(look, answer.remaining);
  }

  /** Why nobody could look, where somebody has tried. */
  problemOf(entry: Entry): { readonly reason: LookProblem; readonly message: string } | undefined {
    const search = this.#searches.get(entry);
    if (search?.problem === undefined) return undefined;
    return { reason: search.problem, message: search.message };
  }

  #seen({ entry, life, ofLife }: UnderWay, remaining: number): void {
    const { proxy } = entry;
    if (ofLife === 'earlier' && proxy.life === life + 1) {
      entry.left = Math.min(entry.left, remaining);
    } else if (ofLife === 'this' && proxy.life === life && proxy.lease === 'over') {
      if (proxy.standing === 'silent' || proxy.standing === 'telling') {
        entry.held = Math.min(entry.held, remaining);
        entry.left = Math.min(entry.left, remaining);
      }
    }
    this.#books.dirty.add(entry.tenant);
    if (!isLeft(entry)) this.#end(entry);
  }

  #end(entry: Entry): void {
    this.#books.leftovers.delete(entry);
    this.#searches.delete(entry);
  }

  #isDue(entry: Entry, nowMs: number): boolean {
    const { proxy } = entry;
    if (nowMs < (this.#searches.get(entry)?.nextMs ?? 0)) return false;
    for (const look of this.#underWay.values()) if (look.entry === entry) return false;
    const silentMs = nowMs - proxy.heardMs;
    if (silentMs >= this.#lostAfterMs && proxy.isLeaseSurelyOver(nowMs)) return true;
    return entry.left > 0 && nowMs - proxy.lifeFromMs >= OWN_LOOK_MS;
  }

  #order(entry: Entry, nowMs: number): LookOrder | undefined {
    const { proxy, tenant } = entry;
    const search = this.#search(entry);
    const looker = this.#looker(entry, search.tries, nowMs);
    if (looker === undefined) return undefined;
    const isLost = nowMs - proxy.heardMs >= this.#lostAfterMs;
    const ofLife = isLost ? 'this' : 'earlier';
    const life = isLost ? proxy.life : proxy.life - 1;
    const number = ++this.#number;
    this.#underWay.set(number, { entry, life, ofLife, looker });
    this.#books.tally.looks += 1;
    const keep = isLost ? floorMost(entry) : 0;
    return {
      number,
      looker: looker.id,
      request: {
        tenant: tenant.budget?.id ?? (tenant.key as TenantId),
        left: {
          proxy: proxy.id,
          upToLife: life,
        },
        action: 'end_surplus',
        keep,
      },
    };
  }

  /** The proxy itself for its earlier lives; else one that has the tenant, each in turn. */
  #looker({ proxy, tenant }: Entry, tries: number, nowMs: number): ProxyAccount | undefined {
    const live = [...this.#books.proxies.values()].filter((other) => mayLook(other, nowMs));
    if (tries % 2 === 0 && live.includes(proxy)) return proxy;
    const others = live.filter((other) => other !== proxy);
    const having = others.filter((other) => (tenant.entries.get(other)?.held ?? 0) > 0);
    const asked = tries % 2 === 0 && having.length > 0 ? having : others;
    return asked[Math.floor(tries / 2) % asked.length];
  }

  #wantSlot(entry: Entry, looker: ProxyAccount, nowMs: number): void {
    entry.tenant.entry(looker).wantedForLookUntilMs = nowMs + SLOT_FOR_LOOK_MS;
    this.#books.dirty.add(entry.tenant);
  }

  #search(entry: Entry): Search {
    const known = this.#searches.get(entry);
    if (known !== undefined) return known;
    const search = { nextMs: 0, tries: 0, problem: undefined, message: '' };
    this.#searches.set(entry, search);
    return search;
  }
}

/** Whether it counts with more than it may occupy anyway. */
export function isLeft(entry: Entry): boolean {
  const { proxy, held, left, tenant } = entry;
  // Nobody can connect for a tenant that is not registered.
  if (tenant.budget === undefined) return false;
  if (left > 0) return true;
  return proxy.lease === 'over' && proxy.standing !== 'correcting' && held > floorMost(entry);
}

function floorMost(entry: Entry): number {
  return entry.proxy.lease === 'over' ? entry.capMost : 0;
}

function mayLook(proxy: ProxyAccount, nowMs: number): boolean {
  return proxy.standing === 'known' && nowMs - proxy.heardMs < QUIET_AFTER_MS;
}
