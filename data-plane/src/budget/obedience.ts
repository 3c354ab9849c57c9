/**
 * A proxy under the fleet-wide budget: what it may have now, which orders it obeys, what it tells.
 * Owns: terms and numbers of orders, the lease, what earlier lives may have left behind, and what
 * has to be on disk before an answer. Leaves: the figures of tenants to allowance.ts, choosing what
 * is told to needs-list.ts, disk, bus and timers to budget.ts. Plain data: no I/O, time is an
 * argument.
 *
 * An order goes: `judge`; `keep` on disk if there is any; `obey`; `answer`. One at a time.
 */
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type {
  BudgetGrant,
  BudgetShare,
  GrantAnswer,
  ProxyNeeds,
  TenantNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { Allowance } from './allowance.ts';
import type { BudgetTenant, BudgetTenants, Figures, SaidOfTenant } from './allowance.ts';
import type { KeptBudget, KeptChange } from './kept-budget.ts';
import { NeedsList } from './needs-list.ts';
import type { Occasion, Standing, TenantUse } from './needs-list.ts';

export interface ObedienceOptions {
  readonly proxy: ProxyId;
  /** Which start of the proxy this is. */
  readonly life: number;
  readonly kept: KeptBudget;
  /** Tenants of the config that was kept on disk; undefined: not known yet, see `rebase`. */
  readonly tenants: BudgetTenants | undefined;
  /** Whether earlier lives may have left server connections behind. */
  readonly left: 'nothing' | 'maybe';
  /** How long no control plane had been heard when this life began. */
  readonly silentMs: number;
  readonly nowMs: number;
}

export type Judgement =
  | { readonly kind: 'refused'; readonly answer: GrantAnswer }
  /** To be written first, if there is anything to write. */
  | { readonly kind: 'to_obey'; readonly keep: KeptChange | undefined };

export interface Moment {
  readonly nowMs: number;
  readonly uses: Iterable<TenantUse>;
}

export type Looked = TenantNeeds['looked'];
type RefusalReason = Extract<GrantAnswer, { readonly outcome: 'refused' }>['reason'];

export class Obedience {
  readonly #options: ObedienceOptions;
  readonly #allowance: Allowance;
  readonly #list: NeedsList;
  readonly #lookedTenants = new Map<string, Looked>();
  readonly #lookedServers = new Set<string>();
  #left: ObedienceOptions['left'];
  #number = 0;
  #term: number;
  #obeyed = 0;
  #leaseEndMs = -Infinity;
  #heardMs: number;

  constructor(options: ObedienceOptions) {
    const { kept, tenants, nowMs, silentMs } = options;
    this.#options = options;
    this.#allowance = new Allowance(kept, tenants);
    this.#list = new NeedsList({
      standing: (key, at) => this.#standing(key, at),
      said: this.#allowance.said,
    });
    this.#left = options.left;
    this.#term = kept.term;
    this.#heardMs = nowMs - silentMs;
  }

  // --- what it may have ---

  /** Slots of the tenant that may be occupied now. */
  capOf(key: string, nowMs: number): number {
    const { floor, limit } = this.#allowance.figures(key);
    const cap = this.isLeased(nowMs) ? limit : floor;
    return cap > 1 && this.lookedAt(key) !== 'yes' ? 1 : cap;
  }

  /** What it may have without a lease and with one. */
  figures(key: string): Figures {
    return this.#allowance.figures(key);
  }

  isLeased(nowMs: number): boolean {
    return nowMs < this.#leaseEndMs;
  }

  /** When a control plane was last obeyed. */
  get heardMs(): number {
    return this.#heardMs;
  }

  get leaseEndMs(): number {
    return this.#leaseEndMs;
  }

  get share(): BudgetShare {
    return this.#allowance.share;
  }

  get term(): number {
    return this.#term;
  }

  /** Of whom something was said explicitly. */
  get said(): ReadonlyMap<string, SaidOfTenant> {
    return this.#allowance.said;
  }

  tenant(key: string): BudgetTenant | undefined {
    return this.#allowance.tenant(key);
  }

  // --- orders ---

  judge(grant: BudgetGrant): Judgement {
    const refusal = this.#whyRefused(grant);
    if (refusal !== undefined) return { kind: 'refused', answer: this.refusal(refusal) };
    const figures = this.#allowance.keepFor(grant);
    const isNewTerm = grant.term > this.#term;
    if (figures === undefined && !isNewTerm) return { kind: 'to_obey', keep: undefined };
    return { kind: 'to_obey', keep: { ...figures, ...(isNewTerm && { term: grant.term }) } };
  }

  /** The caller has written what `judge` asked for. */
  obey(grant: BudgetGrant, nowMs: number): void {
    this.#term = grant.term;
    this.#obeyed = grant.number;
    this.#heardMs = nowMs;
    this.#allowance.take(grant);
    // A message of this life cannot be from its future.
    const stampMs = Math.min(grant.stampMs, nowMs);
    this.#leaseEndMs = Math.max(this.#leaseEndMs, stampMs + grant.leaseMs);
  }

  /** What is said to `grant` once it was obeyed. */
  answer(grant: BudgetGrant, { nowMs, uses }: Moment): GrantAnswer {
    const listed = [...uses];
    const above = listed.filter(({ key, held }) => held > this.capOf(key, nowMs));
    const { tell } = grant;
    const told = tell && this.#list.page(listed, tell.after, nowMs);
    for (const use of above) this.#list.answered(use, nowMs);
    const most = BUDGET_LIMITS.tenantsMax;
    return {
      outcome: 'obeyed',
      above: above.slice(0, most).map(({ tenant, held }) => ({ tenant, held })),
      aboveOmitted: Math.max(0, above.length - most),
      lease: this.isLeased(nowMs) ? 'in_force' : 'over',
      ...(told !== undefined && { told }),
    };
  }

  refusal(reason: RefusalReason): GrantAnswer {
    return { outcome: 'refused', reason, life: this.#options.life, term: this.#term };
  }

  #whyRefused({ proxy, life, term, number, tenants }: BudgetGrant): RefusalReason | undefined {
    if (proxy !== this.#options.proxy || life !== this.#options.life) return 'other_life';
    if (term < this.#term) return 'older_term';
    if (term === this.#term && number <= this.#obeyed) return 'older_number';
    const said = this.#allowance.said.size + tenants.length;
    return said > SAID_MAX ? 'not_kept' : undefined;
  }

  // --- what changes by itself ---

  /** Serves another config. @returns what has to be on disk before the config is */
  serve(tenants: BudgetTenants, changedKeys: Iterable<string>): KeptChange | undefined {
    return this.#allowance.serve(tenants, changedKeys);
  }

  /** Says what was served before the restart. @returns what has to be kept */
  rebase(before: BudgetTenants, changedKeys: Iterable<string>): KeptChange | undefined {
    return this.#allowance.rebase(before, changedKeys);
  }

  /** Cut off for too long, it has nothing any more. @returns what has to be kept */
  expire(nowMs: number): KeptChange | undefined {
    return nowMs - this.#heardMs < BUDGET_LIMITS.floorTtlMs ? undefined : this.#allowance.clear();
  }

  // --- what earlier lives have left behind ---

  lookedAt(key: string): Looked {
    if (this.#left === 'nothing') return 'yes';
    const looked = this.#lookedTenants.get(key);
    if (looked !== undefined) return looked;
    const server = this.#allowance.tenant(key)?.server;
    return server !== undefined && this.#lookedServers.has(server) ? 'yes' : 'not_yet';
  }

  get left(): ObedienceOptions['left'] {
    return this.#left;
  }

  isServerClear(server: string): boolean {
    return this.#left === 'nothing' || this.#lookedServers.has(server);
  }

  /** Nothing is left of earlier lives, on any server. */
  nothingIsLeft(): void {
    this.#left = 'nothing';
  }

  /** `yes`: nothing is left there of earlier lives. */
  look(key: string, looked: Looked): void {
    this.#lookedTenants.set(key, looked);
  }

  /** Nothing is left of earlier lives on the whole server. */
  serverIsClear(server: string): void {
    this.#lookedServers.add(server);
    for (const key of this.#lookedTenants.keys()) {
      if (this.#allowance.tenant(key)?.server === server) this.#lookedTenants.delete(key);
    }
  }

  // --- what it tells ---

  /** The next message; its number is used up. */
  needs(
    { nowMs, uses }: Moment,
    about: {
      readonly occasion: Occasion;
      readonly appliedPosition: Position;
      readonly state: ProxyNeeds['state'];
    },
  ): ProxyNeeds {
    const { proxy, life } = this.#options;
    const { occasion, appliedPosition, state } = about;
    this.#number += 1;
    return {
      proxy,
      life,
      number: this.#number,
      stampMs: nowMs,
      term: this.#term,
      obeyed: this.#obeyed,
      share: this.#allowance.share,
      appliedPosition,
      left: this.#left,
      state,
      ...this.#list.next(occasion, uses, nowMs),
    };
  }

  #standing(key: string, nowMs: number): Standing {
    return {
      follows: this.#allowance.said.has(key) ? 'grant' : 'formula',
      ...this.#allowance.figures(key),
      looked: this.lookedAt(key),
      cap: this.capOf(key, nowMs),
      maxConnections: this.#allowance.tenant(key)?.maxConnections ?? 0,
    };
  }
}

/** Tenants of whom something is said; one more is not obeyed. */
const SAID_MAX = 1_000_000;
