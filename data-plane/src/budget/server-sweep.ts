/**
 * Goes through all database servers after a start that followed a crash, also those of tenants that
 * nobody uses, until nothing is left anywhere of earlier lives: from then on a control plane need
 * not count anything for them.
 * Owns: the order and the pace. Leaves: looking, and what follows from it, to looks.ts.
 */
import { addressKey } from '@dbbouncer/shared/contract/database-servers.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Router } from '../routing/router.ts';
import type { FleetBudget } from './fleet-budget.ts';

export interface ServerSweepOptions {
  readonly fleet: Pick<FleetBudget, 'earlierLives' | 'nothingIsLeft' | 'slotsOf'>;
  readonly router: Pick<Router, 'current'>;
  readonly clock: Clock;
  /** Looks over the tenant's server for what earlier lives have left, and ends it. */
  readonly look: (tenant: TenantId) => Promise<unknown>;
}

/** After the start: clients come first, and what the kernel has closed is gone by then. */
const FIRST_MS = 2_000;
/** From one server to the next. */
const PACE_MS = 200;
/** Where something was left, or could not be looked at, it is looked at again after so long. */
const AGAIN_MS = 30_000;

export class ServerSweep {
  readonly #options: ServerSweepOptions;
  #timer: Timer | undefined;
  #round = 0;

  constructor(options: ServerSweepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#next(FIRST_MS, []);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** @param rest tenants to look for in this round; none: another round begins */
  #next(delayMs: number, rest: readonly TenantId[]): void {
    this.#timer = this.#options.clock.after(delayMs, () => void this.#go(rest));
  }

  async #go(rest: readonly TenantId[]): Promise<void> {
    const [tenant, ...others] = rest.length > 0 ? rest : this.#lookers();
    if (tenant !== undefined) await this.#options.look(tenant);
    if (this.#timer === undefined) return;
    if (others.length > 0) this.#next(PACE_MS, others);
    else if (this.#isOver()) this.#options.fleet.nothingIsLeft();
    else this.#next(AGAIN_MS, []);
  }

  #isOver(): boolean {
    const { fleet, router } = this.#options;
    if (router.current.epoch === 0) return false;
    for (const tenant of router.current.config.tenants.values()) {
      if (!fleet.earlierLives.isServerClear(addressKey(tenant))) return false;
    }
    return true;
  }

  /** One tenant with a slot for each server that is not clear; in each round another one. */
  #lookers(): readonly TenantId[] {
    const { fleet, router } = this.#options;
    const byServer = new Map<string, TenantId[]>();
    for (const tenant of router.current.config.tenants.values()) {
      const server = addressKey(tenant);
      if (fleet.earlierLives.isServerClear(server) || fleet.slotsOf(tenantKey(tenant.id)) === 0)
        continue;
      const known = byServer.get(server);
      if (known === undefined) byServer.set(server, [tenant.id]);
      else known.push(tenant.id);
    }
    const round = this.#round++;
    return Array.from(byServer.values(), (tenants) => tenants[round % tenants.length]).filter(
      (tenant) => tenant !== undefined,
    );
  }
}
