/**
 * What has to happen so that the tenants and defaults are as the config file says. Pure: a file and
 * the present state in, commands out; none when they agree.
 *
 * The file is the truth for the tenants it lists, whoever registered them, and for the defaults. A
 * tenant it does not list is removed only if the file registered it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import {
  newTenantConfig,
  replaceTenantConfig,
} from '@dbbouncer/shared/contract/tenant-conversion.ts';
import type { TenantInFile } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import type { ConfigCommand } from '../commands/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import type { TenantView } from '../store/read-models.ts';

export interface PresentState {
  readonly defaults: PoolSettings;
  /** Every registered tenant. */
  readonly tenants: Iterable<TenantView>;
}

/** The secret of a password in the file, given the tenant's present one. */
export type SecretFor = (id: TenantId, written: string, current: Secret | undefined) => Secret;

/** @throws what `secretFor` throws. */
export function planChanges(
  file: Pick<ConfigFile, 'defaults' | 'tenants'>,
  present: PresentState,
  secretFor: SecretFor,
): readonly ConfigCommand[] {
  const views = new Map<string, TenantView>();
  for (const view of present.tenants) views.set(tenantKey(view.config.id), view);
  const upserts: TenantCommand[] = [];
  for (const [id, entry] of file.tenants) {
    upserts.push(...planTenant(id, entry, views.get(tenantKey(id)), secretFor));
    views.delete(tenantKey(id));
  }
  const removals = [...views.values()]
    .filter((view) => view.origin === 'file')
    .map((view) => ({ kind: 'remove_tenant', id: view.config.id }) as const);
  return [...removals, ...inOrder(file.defaults, present.defaults, upserts)];
}

function planTenant(
  id: TenantId,
  entry: TenantInFile,
  view: TenantView | undefined,
  secretFor: SecretFor,
): readonly TenantCommand[] {
  if (view === undefined) return [register(id, entry, secretFor)];
  const current = view.config;
  // A protocol cannot change in place: it is another tenant under the same name.
  if (current.protocol !== entry.db_type) {
    return [{ kind: 'remove_tenant', id: current.id }, register(id, entry, secretFor)];
  }
  const tenant = replaceTenantConfig(current, entry, (written, secret) =>
    secretFor(current.id, written, secret),
  );
  // What was operated on a tenant is no setting: a file neither says nor undoes it.
  const { operations: _, ...settings } = current;
  return isDeepStrictEqual(tenant, settings) ? [] : [{ kind: 'replace_tenant', tenant }];
}

function register(id: TenantId, entry: TenantInFile, secretFor: SecretFor): TenantCommand {
  const tenant = newTenantConfig(id, entry, (written) => secretFor(id, written, undefined));
  return { kind: 'register_tenant', tenant, origin: 'file' };
}

/** Each command must be allowed when its turn comes: a higher limit first, a lower one last. */
function inOrder(
  wanted: PoolSettings,
  present: PoolSettings,
  upserts: readonly TenantCommand[],
): readonly ConfigCommand[] {
  if (isDeepStrictEqual(wanted, present)) return upserts;
  const setDefaults = { kind: 'set_defaults', defaults: wanted } as const;
  return wanted.maxConnections >= present.maxConnections
    ? [setDefaults, ...upserts]
    : [...upserts, setDefaults];
}
