/**
 * A control plane that deals out the budget to one proxy as a test says, over the bus they share.
 */
import {
  BUDGET_LIMITS,
  budgetGrantSchema,
  decodeBudget,
  encodeBudget,
  grantAnswerSchema,
  lookAnswerSchema,
  lookRequestSchema,
  proxyNeedsSchema,
} from '@dbbouncer/shared/contract/budget.ts';
import type {
  BudgetGrant,
  GrantAnswer,
  LookAnswer,
  LookRequest,
  ProxyNeeds,
  TenantNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';

const NEEDS_TIMEOUT_MS = 5_000;

export function granted(tenant: string, floor: number, limit: number) {
  return { tenant: tenant as TenantId, floor, limit };
}

export class BudgetDealer {
  readonly #bus: Bus;
  readonly #proxy: ProxyId;
  readonly #subscription: Subscription;
  readonly #listeners = new Set<(needs: ProxyNeeds) => void>();
  #last: ProxyNeeds | undefined;
  #number = 0;

  constructor(bus: Bus, proxy: ProxyId) {
    this.#bus = bus;
    this.#proxy = proxy;
    this.#subscription = bus.subscribe(SUBJECTS.budgetNeedsOf(proxy), (data) => {
      this.#last = decodeBudget(proxyNeedsSchema, data);
      for (const listener of Array.from(this.#listeners)) listener(this.#last);
    });
  }

  stop(): void {
    this.#subscription.close();
  }

  /** The first needs from now on that `fits`. @throws after 5 s, with the last ones */
  needs(fits: (needs: ProxyNeeds) => boolean = () => true): Promise<ProxyNeeds> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#listeners.delete(listener);
        reject(new Error(`no needs fit; the last ones: ${JSON.stringify(this.#last)}`));
      }, NEEDS_TIMEOUT_MS);
      const listener = (needs: ProxyNeeds) => {
        if (!fits(needs)) return;
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve(needs);
      };
      this.#listeners.add(listener);
    });
  }

  /** The first that tell of a tenant what `fits`. */
  async needsOf(tenant: string, fits: (needs: TenantNeeds) => boolean): Promise<TenantNeeds> {
    const of = (needs: ProxyNeeds) =>
      needs.tenants.find((each) => each.tenant === tenant && fits(each));
    const found = of(await this.needs((needs) => of(needs) !== undefined));
    if (found === undefined) throw new Error('it was there a moment ago');
    return found;
  }

  /** With a lease from the newest needs. */
  async grant(parts: Partial<BudgetGrant> = {}): Promise<GrantAnswer> {
    const { life, stampMs } = this.#last ?? (await this.needs());
    this.#number += 1;
    const grant = {
      proxy: this.#proxy,
      life,
      term: 1,
      number: this.#number,
      stampMs,
      leaseMs: BUDGET_LIMITS.leaseMs,
      tenants: [],
      released: [],
      ...parts,
    };
    const data = encodeBudget(budgetGrantSchema.parse(grant));
    const subject = SUBJECTS.budgetGrant(this.#proxy);
    const answer = await this.#bus.request(subject, data, BUDGET_LIMITS.grantTimeoutMs);
    return decodeBudget(grantAnswerSchema, answer);
  }

  async look(request: LookRequest): Promise<LookAnswer> {
    const data = encodeBudget(lookRequestSchema.parse(request));
    const subject = SUBJECTS.budgetLook(this.#proxy);
    const answer = await this.#bus.request(subject, data, BUDGET_LIMITS.lookTimeoutMs);
    return decodeBudget(lookAnswerSchema, answer);
  }
}
