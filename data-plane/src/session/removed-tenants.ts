/**
 * Ends the sessions of tenants that a swap of the routing snapshot has removed, each between its
 * transactions.
 */
import { proxyErrors } from '../errors.ts';
import type { Router } from '../routing/router.ts';
import { tenantChanges } from '../routing/snapshot.ts';
import type { SessionRegistry } from './session.ts';

export function endRemovedTenants(
  router: Router,
  registry: SessionRegistry,
  removed: (tenant: string) => void,
): void {
  router.onSwap((previous, next) => {
    for (const { key, before, after } of tenantChanges(previous, next)) {
      if (before === undefined || after !== undefined) continue;
      const error = proxyErrors.fail('TENANT_REMOVED', `tenant "${before.id}" was removed`, {
        hint: 'Ask the operator of the database proxy.',
      });
      registry.endWhenIdle(error, (session) => session.tenantKey === key);
      removed(before.id);
    }
  });
}
