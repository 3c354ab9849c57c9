/** A config of the simulated world as both planes read it. */
import type { BudgetConfig } from '@dbbouncer/control-plane/budget/budget-config.ts';
import type { BudgetTenants } from '@dbbouncer/data-plane/budget/allowance.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';

export interface SimulatedTenant {
  readonly maxConnections: number;
  readonly server: string;
}

export class SimulatedConfig {
  readonly position: number;
  readonly all: ReadonlyMap<string, SimulatedTenant>;
  readonly changedAt: ReadonlyMap<string, number>;
  /** Caps of declared servers. */
  readonly servers: ReadonlyMap<string, number>;

  constructor(
    position: number,
    all: ReadonlyMap<string, SimulatedTenant>,
    servers: ReadonlyMap<string, number>,
    before?: SimulatedConfig,
  ) {
    const isWide = before?.servers !== servers;
    const isSame = (key: string): boolean => !isWide && before?.all.get(key) === all.get(key);
    this.changedAt = new Map(
      EVERY_KEY.map((key) => [key, isSame(key) ? (before?.changedAt.get(key) ?? 0) : position]),
    );
    this.position = position;
    this.all = all;
    this.servers = servers;
  }

  get allKeys(): readonly string[] {
    return EVERY_KEY;
  }

  maxOf(key: string): number {
    return this.all.get(key)?.maxConnections ?? 0;
  }

  /** As proxies have it. */
  get tenants(): BudgetTenants {
    return {
      get: (key) => {
        const tenant = this.all.get(key);
        if (tenant === undefined) return undefined;
        const { maxConnections, server } = tenant;
        const formula = this.servers.has(server) ? 'declared_server' : 'applies';
        return { id: key as TenantId, maxConnections, formula, server };
      },
    };
  }

  /** As the allocator has it. */
  get budget(): BudgetConfig {
    return {
      position: this.position,
      get: (key) => {
        const tenant = this.all.get(tenantKey(key));
        if (tenant === undefined) return undefined;
        const { maxConnections } = tenant;
        const cap = this.servers.get(tenant.server);
        const server = cap === undefined ? undefined : { name: tenant.server, maxConnections: cap };
        const base = server === undefined ? maxConnections : 0;
        const changedAt = this.changedAt.get(key) ?? 0;
        return { id: key as TenantId, maxConnections, base, changedAt, server };
      },
    };
  }
}

/** Tenants of the simulated world are few, and may come and go. */
export const EVERY_KEY: readonly string[] = ['t1', 't2', 't3', 't4'];
