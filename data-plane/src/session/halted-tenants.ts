/**
 * The tenants that operators have paused or are draining, and how far that has come here.
 * Owns: knowing them without looking through all tenants. Leaves: pausing to the pools, draining to
 * tenant-changes.ts.
 */
import { HALTED_MAX } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { HaltedTenant } from '@dbbouncer/shared/contract/proxy-report.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { memberNamed } from '@dbbouncer/shared/kernel/packed-map.ts';
import type { Router } from '../routing/router.ts';
import type { SessionRegistry } from './session.ts';

/** Server connections of one pool, whatever their state. */
export interface OccupiedSlots {
  readonly identity: { readonly tenant: string };
  readonly reading: { readonly total: number };
}

const OPERATIONS = memberNamed('operations');

export class HaltedTenants {
  readonly #registry: SessionRegistry;
  /** By `tenantKey`. */
  readonly #halted = new Map<string, Halted>();

  constructor(router: Router, registry: SessionRegistry, clock: Pick<Clock, 'timestamp'>) {
    this.#registry = registry;
    router.onSwap((previous, next) => {
      const { tenants } = next.config;
      for (const key of tenants.changedKeys(previous.config.tenants)) {
        // Of 100,000 tenants that are new at once, most have never been operated on.
        const after = tenants.mentions(key, OPERATIONS) === 'no' ? undefined : tenants.look(key);
        const state = after === undefined ? 'active' : operationsOf(after).state;
        if (after === undefined || state === 'active') this.#halted.delete(key);
        else if (this.#halted.get(key)?.state !== state) {
          this.#halted.set(key, { id: after.id, state, since: clock.timestamp() });
        }
      }
    });
  }

  /** At most HALTED_MAX, those that are still on their way first. */
  read(pools: readonly OccupiedSlots[]): HaltedTenant[] {
    if (this.#halted.size === 0) return [];
    const connections = new Map<string, number>();
    for (const { identity, reading } of pools) {
      const key = tenantKey(identity.tenant);
      if (!this.#halted.has(key)) continue;
      connections.set(key, (connections.get(key) ?? 0) + reading.total);
    }
    return Array.from(this.#halted, ([key, halted]) =>
      howFar(halted, this.#registry.of(key).size, connections.get(key) ?? 0),
    )
      .toSorted((a, b) => rank(a) - rank(b))
      .slice(0, HALTED_MAX);
  }
}

type Halt = 'paused' | 'draining';

interface Halted {
  readonly id: string;
  readonly state: Halt;
  /** Since when this proxy has been told. */
  readonly since: string;
}

function howFar(
  { id: tenant, state: halt, since }: Halted,
  clients: number,
  connections: number,
): HaltedTenant {
  const counted = { clients, connections, since };
  if (halt === 'paused') {
    return { tenant, state: connections === 0 ? 'paused' : 'pausing', ...counted };
  }
  const isDrained = connections === 0 && clients === 0;
  return { tenant, state: isDrained ? 'drained' : 'draining', ...counted };
}

function rank({ state }: HaltedTenant): number {
  return state === 'pausing' || state === 'draining' ? 0 : 1;
}
