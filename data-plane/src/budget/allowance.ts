/**
 * How many server connections of each tenant this proxy may have: by its share of the budget, or by
 * what the control plane has said of the tenant.
 * Owns: these figures, and that none of them rises because of a change of the config. Leaves: the
 * lease, terms and looking to obedience.ts, the disk to budget-file.ts. No I/O.
 *
 * A tenant costs nothing here unless something was said of it: the rest follows the formula.
 */
import { formulaSlots } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, BudgetShare, Granted } from '@dbbouncer/shared/contract/budget.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { KeptBudget, KeptChange } from './kept-budget.ts';

/** What the budget needs to know of a tenant of the config. */
export interface BudgetTenant {
  readonly id: TenantId;
  readonly maxConnections: number;
  /** `declared_server`: its database server has a cap; nothing follows from the share. */
  readonly formula: 'applies' | 'declared_server';
  /** Where its connections go; tenants of one server are looked for together. */
  readonly server: string;
}

/** The tenants of one config, by `tenantKey`. */
export interface BudgetTenants {
  get(key: string): BudgetTenant | undefined;
}

export const NO_TENANTS: BudgetTenants = Object.freeze({ get: () => undefined });

/** Slots: without a lease, and with one. */
export interface Figures {
  readonly floor: number;
  readonly limit: number;
}

export interface SaidOfTenant extends Figures {
  readonly tenant: TenantId;
}

const NOTHING: Figures = Object.freeze({ floor: 0, limit: 0 });

export class Allowance {
  /** What was said explicitly, by `tenantKey`. */
  readonly #said = new Map<string, SaidOfTenant>();
  #share: BudgetShare;
  #tenants: BudgetTenants;
  /**
   * `unknown`: what was served before the restart. Until that was compared with what is served now
   * nothing follows from the share: it could have risen.
   */
  #base: 'known' | 'unknown';

  /** @param tenants of the config that was kept with `kept`; undefined: they are not known yet */
  constructor({ share, floors }: KeptBudget, tenants: BudgetTenants | undefined) {
    this.#share = share;
    this.#tenants = tenants ?? NO_TENANTS;
    this.#base = tenants === undefined && share !== null ? 'unknown' : 'known';
    for (const [key, { tenant, floor }] of floors) {
      this.#said.set(key, { tenant, floor, limit: floor });
    }
  }

  get share(): BudgetShare {
    return this.#share;
  }

  get said(): ReadonlyMap<string, SaidOfTenant> {
    return this.#said;
  }

  tenant(key: string): BudgetTenant | undefined {
    return this.#tenants.get(key);
  }

  /** Both as they are in force: the floor is never above the formula, nor the limit above M. */
  figures(key: string): Figures {
    const tenant = this.#tenants.get(key);
    if (tenant === undefined) return NOTHING;
    const formula = this.#formula(tenant);
    const said = this.#said.get(key);
    if (said === undefined) return { floor: formula, limit: formula };
    return {
      floor: Math.min(said.floor, formula),
      limit: Math.min(said.limit, tenant.maxConnections),
    };
  }

  // --- what a control plane says ---

  /** What has to be on disk before `take`; undefined: nothing of it would be lost with us. */
  keepFor(grant: BudgetGrant): KeptChange | undefined {
    const floors: { tenant: TenantId; floor: number | null }[] = [];
    for (const tenant of grant.released) {
      if (this.#said.has(tenantKey(tenant))) floors.push({ tenant, floor: null });
    }
    const { share = this.#share } = grant;
    for (const granted of grant.tenants) {
      const { tenant, floor } = this.#withinConfig(granted, share);
      if (this.#said.get(tenantKey(tenant))?.floor !== floor) floors.push({ tenant, floor });
    }
    const isOther = share?.divisor !== this.#share?.divisor;
    if (!isOther && floors.length === 0) return undefined;
    return { ...(isOther && { share }), ...(floors.length > 0 && { floors }) };
  }

  take({ share, tenants, released }: BudgetGrant): void {
    if (share !== undefined) this.#share = share;
    for (const tenant of released) this.#said.delete(tenantKey(tenant));
    for (const granted of tenants) {
      this.#said.set(tenantKey(granted.tenant), this.#withinConfig(granted, this.#share));
    }
  }

  /** So that nothing rises later because of a config that the control plane was ahead with. */
  #withinConfig({ tenant, floor, limit }: Granted, share: BudgetShare): SaidOfTenant {
    const known = this.#tenants.get(tenantKey(tenant));
    if (known === undefined) return { tenant, ...NOTHING };
    return {
      tenant,
      floor: Math.min(floor, this.#formula(known, share)),
      limit: Math.min(limit, known.maxConnections),
    };
  }

  /** Everything is forgotten; the proxy may have nothing. */
  clear(): KeptChange | undefined {
    if (this.#share === null && this.#said.size === 0) return undefined;
    this.#share = null;
    this.#said.clear();
    return { share: null, cleared: 'all' };
  }

  // --- other configs ---

  /**
   * Serves other tenants. Where the formula would give more than before, or a tenant is gone, what
   * was in force is what was said from now on, until the control plane says otherwise: only it
   * knows whether others may have more meanwhile.
   * @returns what has to be on disk before the config is
   */
  serve(tenants: BudgetTenants, changedKeys: Iterable<string>): KeptChange | undefined {
    if (this.#base === 'unknown') {
      this.#tenants = tenants;
      return undefined;
    }
    const before = this.#tenants;
    this.#tenants = tenants;
    return this.#hold(before, changedKeys);
  }

  /**
   * Says what was served before the restart.
   * @param changedKeys of what differs between that and what is served now
   */
  rebase(before: BudgetTenants, changedKeys: Iterable<string>): KeptChange | undefined {
    if (this.#base === 'known') return undefined;
    this.#base = 'known';
    return this.#hold(before, changedKeys);
  }

  #hold(before: BudgetTenants, keys: Iterable<string>): KeptChange | undefined {
    const floors: { tenant: TenantId; floor: number }[] = [];
    for (const key of keys) {
      const was = before.get(key);
      const held = was && this.#held(key, was);
      if (was === undefined || held === undefined) continue;
      const isSame = this.#said.get(key)?.floor === held.floor;
      this.#said.set(key, { tenant: was.id, ...held });
      if (!isSame) floors.push({ tenant: was.id, floor: held.floor });
    }
    return floors.length === 0 ? undefined : { floors };
  }

  /** What is to be said of a tenant that has changed; undefined: what is said already. */
  #held(key: string, was: BudgetTenant): Figures | undefined {
    const said = this.#said.get(key);
    const is = this.#tenants.get(key);
    if (is === undefined) return said === undefined && this.#share === null ? undefined : NOTHING;
    const formulaWas = this.#formula(was);
    const formulaIs = this.#formula(is);
    if (said === undefined) {
      return formulaIs > formulaWas ? { floor: formulaWas, limit: formulaWas } : undefined;
    }
    // What fell with the config does not rise with the next one.
    const floor = formulaIs < formulaWas ? Math.min(said.floor, formulaIs) : said.floor;
    const isLess = is.maxConnections < was.maxConnections;
    const limit = isLess ? Math.min(said.limit, is.maxConnections) : said.limit;
    // Above the formula it was not in force, and must not come into force by itself.
    const inForce = formulaIs > formulaWas ? Math.min(floor, formulaWas) : floor;
    return inForce === said.floor && limit === said.limit ? undefined : { floor: inForce, limit };
  }

  #formula({ maxConnections, formula }: BudgetTenant, share = this.#share): number {
    if (formula === 'declared_server' || this.#base === 'unknown') return 0;
    return formulaSlots(maxConnections, share);
  }
}
