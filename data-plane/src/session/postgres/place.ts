/**
 * Where a client's server connections are from, whatever has become of its tenant since its login.
 * Leaves: pools to targets.ts.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { tenantRemoved } from '../tenant-changes.ts';
import type { Seat } from './logged-in.ts';
import type { SessionServices, Target } from './services.ts';
import { databaseGone, userRemoved } from './session-errors.ts';

/** Who a client is and what it has asked for; holds for its life. */
export type Place = Pick<
  Seat,
  'tenant' | 'tenantKey' | 'user' | 'member' | 'database' | 'databaseIs'
>;

/** The target of `place` now, or why there is none. @throws AppError SHUTTING_DOWN */
export function targetNow(services: SessionServices, place: Place): Target | AppError {
  const tenant = services.router.current.byKey(place.tenantKey);
  if (tenant === undefined) return tenantRemoved(place.tenant);
  const database = databaseNow(tenant, place);
  if (database === undefined) return databaseGone(tenant.id, place.database);
  const account = place.member.accountIn(tenant);
  if (account === undefined) return userRemoved(tenant.id, place.user);
  return services.targets.of(account, database);
}

/** The database a session goes on with after a change of its tenant; undefined when it may not. */
function databaseNow(tenant: TenantConfig, place: Place): string | undefined {
  if (place.databaseIs === 'own' || place.database === tenant.database) return tenant.database;
  return tenant.databases.includes(place.database) ? place.database : undefined;
}
