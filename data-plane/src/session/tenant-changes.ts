/**
 * What a swap of the routing snapshot does to the sessions of tenants that were removed, drained,
 * resumed or had their clients killed, and of users that were removed; and what keeps a login out
 * that crossed such a swap.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { proxyErrors } from '../errors.ts';
import type { Router } from '../routing/router.ts';
import { tenantChanges } from '../routing/snapshot.ts';
import type { TenantChange } from '../routing/snapshot.ts';
import type { SessionRegistry } from './session.ts';

export function obeyTenantChanges(
  router: Router,
  registry: SessionRegistry,
  removed: (tenant: string) => void,
): void {
  router.onSwap((previous, next) => {
    for (const change of tenantChanges(previous, next, 'known')) {
      const { key, before, after } = change;
      if (before === undefined) continue;
      if (after === undefined) {
        registry.endWhenIdle(tenantRemoved(before.id), key);
        removed(before.id);
      } else {
        obey(registry, { key, before, after });
      }
    }
  });
}

function obey(
  registry: SessionRegistry,
  { key, before, after }: Required<TenantChange> & { before: TenantConfig; after: TenantConfig },
): void {
  for (const session of registry.of(key)) {
    const error = session.hindranceUnder(after);
    if (error !== undefined) session.endWhenIdle(error);
  }
  const [was, is] = [operationsOf(before), operationsOf(after)];
  if (was.clientsGeneration !== is.clientsGeneration) {
    registry.kill(clientsKilled(after.id), 'cancel', key);
  }
  if (was.state === is.state) return;
  if (is.state === 'draining') registry.endWhenIdle(drained(after.id), key);
  else if (was.state === 'draining') registry.stay('TENANT_DRAINED', key);
}

/**
 * Lets a client that has proven who it is go on to its session, by the config of this moment.
 * @param resolved the config its login began with
 * @throws TENANT_REMOVED, TENANT_DRAINING, CLIENTS_KILLED
 */
export function requireServed(router: Router, resolved: TenantConfig): void {
  const now = router.current.byKey(tenantKey(resolved.id));
  if (now === undefined) throw tenantRemoved(resolved.id);
  const { state, clientsGeneration } = operationsOf(now);
  if (state === 'draining') throw draining(now.id);
  if (clientsGeneration !== operationsOf(resolved).clientsGeneration) throw clientsKilled(now.id);
}

/** Why an authenticated login may have to wait for longer than usual. */
export function whyServedLate(router: Router, key: string | undefined): string | undefined {
  const tenant = key === undefined ? undefined : router.current.byKey(key);
  if (tenant === undefined || operationsOf(tenant).state !== 'paused') return undefined;
  return `tenant "${tenant.id}" is paused, and its database is not known well enough to greet`;
}

export function tenantRemoved(tenant: string): AppError {
  return proxyErrors.fail('TENANT_REMOVED', `tenant "${tenant}" was removed`, {
    hint: 'Ask the operator of the database proxy.',
  });
}

function draining(tenant: string): AppError {
  return proxyErrors.fail(
    'TENANT_DRAINING',
    `tenant "${tenant}" is being drained and takes no new clients`,
    { hint: 'Try again once the operator of the database proxy has resumed it.' },
  );
}

function drained(tenant: string): AppError {
  return proxyErrors.fail(
    'TENANT_DRAINED',
    `terminating connection: tenant "${tenant}" is being drained`,
    { hint: 'No transaction was under way. Connect again once the operator has resumed it.' },
  );
}

function clientsKilled(tenant: string): AppError {
  return proxyErrors.fail(
    'CLIENTS_KILLED',
    `terminating connection: every client of tenant "${tenant}" was killed by the operator`,
    { hint: 'An open transaction was rolled back. Connect again.' },
  );
}
