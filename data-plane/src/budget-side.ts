/**
 * The proxy under the budget of its fleet, put together; or by itself, where each proxy has all of
 * max_connections.
 * Owns: what of it there is in which of the two. Leaves: the parts to budget/.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { BudgetFile } from './budget/budget-file.ts';
import { FleetBudget } from './budget/fleet-budget.ts';
import { wakingClock } from './budget/waking-clock.ts';
import { Looks } from './budget/looks.ts';
import type { LooksOptions } from './budget/looks.ts';
import { DiskCopy } from './config-feed/disk-copy.ts';
import type { CopySeal } from './config-feed/disk-copy.ts';
import type { ProxyIdentity } from './identity/proxy-identity.ts';
import type { Router } from './routing/router.ts';

interface Parts {
  readonly bus: Bus;
  readonly router: Router;
  readonly seal: CopySeal;
  readonly clock: Clock;
  readonly log: Logger;
  readonly identity: ProxyIdentity;
}

export type BudgetSide = ReturnType<typeof budgetSideOf>;

/**
 * Begins another life of the proxy, on disk. To be made before what else follows the router: the
 * first to know of a config is who says how much of it may be used.
 * @throws the file system's error
 */
export function budgetSideOf(
  { fleetBudget, proxyId: configuredId }: Settings,
  { bus, router, seal, clock, log, identity }: Parts,
) {
  const { dir, proxyId } = identity;
  const id = configuredId === undefined ? 'kept' : 'configured';
  const file = new BudgetFile({ dir, id, clock, log });
  const disk: DiskCopy = new DiskCopy({
    dir,
    seal,
    clock,
    log,
    before: async () => await fleet?.settled(),
    written: () => fleet?.configKept(),
  });
  const fleet =
    fleetBudget === 'per_proxy'
      ? undefined
      : new FleetBudget({
          proxy: proxyId,
          bus,
          router,
          file,
          keptConfig: async () => await disk.load(),
          keptPosition: () => disk.keptPosition,
          clock: wakingClock(clock),
          log,
        });
  let looks: Looks | undefined;
  return {
    disk,
    fleet,
    life: file.life,
    /** Before `start`: how it looks for what others have left on database servers. */
    lookWith(looker: LooksOptions['looker']): void {
      if (fleet === undefined) return;
      const { life } = file;
      looks = new Looks({ bus, proxy: proxyId, life, fleet, router, looker, clock, log });
    },
    start(): void {
      fleet?.start();
      looks?.start();
    },
    /** @param closed whether every server connection is */
    async end(closed: boolean): Promise<void> {
      looks?.stop();
      if (closed) await fleet?.leave();
      else fleet?.stop();
      if (closed) await file.save({ ending: 'in_order' });
    },
  };
}
