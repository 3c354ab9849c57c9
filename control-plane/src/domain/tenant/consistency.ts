/**
 * What must agree within one tenant, and with the fleet's defaults. Pure. Leaves: the form of each
 * field to the schemas, when it is asked to the deciders.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { effectivePool, findPoolInconsistency } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { findServerTlsInconsistency } from '@dbbouncer/shared/contract/server-tls.ts';
import type { ServerTlsConfig } from '@dbbouncer/shared/contract/server-tls.ts';
import { findUserInconsistency } from '@dbbouncer/shared/contract/tenant-users.ts';
import type { UsersOfTenant } from '@dbbouncer/shared/contract/tenant-users.ts';
import { controlErrors } from '../../errors.ts';
import type { TenantPool } from './state.ts';

/** @throws VALIDATION_FAILED */
export function requireConsistentTenant(tenant: TenantConfig, defaults: PoolSettings): void {
  requireConsistentPool(tenant.pool, defaults);
  requireConsistentTls(tenant.serverTls);
  requireConsistentUsers(tenant);
}

/** @throws VALIDATION_FAILED */
export function requireConsistentUsers(tenant: UsersOfTenant): void {
  const problem = findUserInconsistency(tenant);
  if (problem !== undefined) throw controlErrors.fail('VALIDATION_FAILED', `${problem}.`);
}

/** @throws VALIDATION_FAILED */
export function requireConsistentPool(pool: TenantPool, defaults: PoolSettings): void {
  const problem = findPoolInconsistency(effectivePool({ defaults }, { pool }));
  if (problem === undefined) return;
  throw controlErrors.fail('VALIDATION_FAILED', `${problem}.`, {
    hint: 'Settings the tenant does not set itself come from the defaults.',
  });
}

/** @throws VALIDATION_FAILED */
export function requireConsistentTls(tls: ServerTlsConfig | undefined): void {
  const problem = findServerTlsInconsistency(tls);
  if (problem === undefined) return;
  throw controlErrors.fail('VALIDATION_FAILED', `${problem}.`, {
    hint: 'Give the certificate and its private key together.',
  });
}
