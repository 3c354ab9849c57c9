/**
 * What has to happen because of what the config file says. Pure: a file, the present state and what
 * the file said before in; commands out, none when nothing is to be done.
 *
 * The file speaks for the tenants and servers it lists and for the defaults, and what it says is
 * done when it says something new. What was changed elsewhere since stays, until the file says
 * otherwise of the same tenant. A tenant that the API registered is not the file's unless its entry
 * adopts it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import {
  newTenantConfig,
  replaceTenantConfig,
  toTenantFields,
} from '@dbbouncer/shared/contract/tenant-conversion.ts';
import type { TenantInFile } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import type { ConfigCommand } from '../commands/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import type { TenantView } from '../store/read-models.ts';
import type { ServerView } from '../store/servers.ts';
import type { LastWords } from './last-words.ts';
import { planServers } from './plan-servers.ts';

export interface PresentState {
  readonly defaults: PoolSettings;
  readonly servers: readonly ServerView[];
  /** Every registered tenant. */
  readonly tenants: Iterable<TenantView>;
  readonly lastWords: LastWords;
}

export interface Secrets {
  /** The secret of a password in the file, given the tenant's present one. */
  make(id: TenantId, written: string, current: Secret | undefined): Secret;
  /** Whether it is the one that is written, under whatever key. */
  isSame(id: TenantId, written: string, secret: Secret): boolean;
}

/** `whole`: what was changed elsewhere is undone as well. */
export type PlanScope = 'news' | 'whole';

export interface Plan {
  readonly commands: readonly ConfigCommand[];
  /** What is not as the file says, and stays so. */
  readonly kept: {
    readonly tenants: readonly TenantId[];
    readonly servers: readonly string[];
    readonly defaults: boolean;
  };
  /** With any, nothing may be done. */
  readonly conflicts: readonly Conflict[];
}

export interface Conflict {
  /** As the file writes it. */
  readonly id: TenantId;
  readonly message: string;
}

/** What becomes of one tenant of the file. */
type Step =
  | { readonly kind: 'do'; readonly commands: readonly TenantCommand[] }
  | { readonly kind: 'keep' }
  | { readonly kind: 'conflict'; readonly message: string };

export function planChanges(
  file: Pick<ConfigFile, 'defaults' | 'tenants' | 'servers'>,
  present: PresentState,
  secrets: Secrets,
  scope: PlanScope = 'news',
): Plan {
  const views = new Map<string, TenantView>();
  for (const view of present.tenants) views.set(tenantKey(view.config.id), view);
  const upserts: TenantCommand[] = [];
  const kept: TenantId[] = [];
  const conflicts: Conflict[] = [];
  for (const [id, entry] of file.tenants) {
    const view = views.get(tenantKey(id));
    const step = stepFor(() => planTenant(id, entry, view, present.lastWords, secrets, scope));
    if (step.kind === 'do') upserts.push(...step.commands);
    else if (step.kind === 'keep') kept.push(view?.config.id ?? id);
    else conflicts.push({ id, message: step.message });
    views.delete(tenantKey(id));
  }
  const removals = [...views.values()]
    .filter((view) => view.origin === 'file')
    .map((view) => ({ kind: 'remove_tenant', id: view.config.id }) as const);
  const isKept = scope === 'news' && saysNothingNew(file.defaults, present);
  const wanted = isKept ? present.defaults : file.defaults;
  const servers = planServers(file, present.servers, present.lastWords, scope);
  return {
    commands: [...servers.commands, ...removals, ...inOrder(wanted, present.defaults, upserts)],
    kept: { tenants: kept, servers: servers.kept, defaults: isKept },
    conflicts,
  };
}

/** A password that cannot be read stands against the file, and is told with all else. */
function stepFor(plan: () => Step): Step {
  try {
    return plan();
  } catch (error) {
    if (!sharedErrors.is(error) || error.code !== 'SECRET_UNAVAILABLE') throw error;
    return { kind: 'conflict', message: error.message };
  }
}

function saysNothingNew(wanted: PoolSettings, { defaults, lastWords }: PresentState): boolean {
  return !isDeepStrictEqual(wanted, defaults) && isDeepStrictEqual(wanted, lastWords.onDefaults());
}

function planTenant(
  id: TenantId,
  entry: TenantInFile,
  view: TenantView | undefined,
  lastWords: LastWords,
  secrets: Secrets,
  scope: PlanScope,
): Step {
  const isAdopted = view?.origin === 'api' && entry.adopt === true;
  const adoption = isAdopted ? [{ kind: 'adopt_tenant', id: view.config.id } as const] : [];
  if (view !== undefined && isAsWritten(entry, view.config, secrets)) {
    return { kind: 'do', commands: adoption };
  }
  const before = scope === 'news' ? lastWords.onTenant(id)?.tenant : undefined;
  if (before !== undefined && !isAdopted && isAsWritten(entry, before, secrets)) {
    return { kind: 'keep' };
  }
  if (view === undefined) return { kind: 'do', commands: [register(id, entry, secrets)] };
  if (view.origin === 'api' && !isAdopted) {
    return { kind: 'conflict', message: conflictOf(entry, view.config, secrets) };
  }
  return { kind: 'do', commands: change(view.config, entry, secrets, adoption) };
}

function change(
  current: TenantConfig,
  entry: TenantInFile,
  secrets: Secrets,
  adoption: readonly TenantCommand[],
): readonly TenantCommand[] {
  // A protocol cannot change in place: it is another tenant under the same name.
  if (current.protocol !== entry.db_type) {
    return [{ kind: 'remove_tenant', id: current.id }, register(current.id, entry, secrets)];
  }
  const tenant = replaceTenantConfig(current, entry, (written, secret) =>
    secrets.make(current.id, written, secret),
  );
  return [...adoption, { kind: 'replace_tenant', tenant }];
}

function register(id: TenantId, entry: TenantInFile, secrets: Secrets): TenantCommand {
  const tenant = newTenantConfig(id, entry, (written) => secrets.make(id, written, undefined));
  return { kind: 'register_tenant', tenant, origin: 'file' };
}

/** What was operated on a tenant is no setting: a file neither says nor undoes it. */
function isAsWritten(entry: TenantInFile, config: TenantConfig, secrets: Secrets): boolean {
  const { operations: _, canary: __, ...settings } = config;
  return isDeepStrictEqual(written(entry, config, secrets), settings);
}

const ANOTHER: Secret = Object.freeze({ kind: 'env', name: '_' });

/** The tenant as the entry has it, with its present secrets where they are the written ones. */
function written(entry: TenantInFile, config: TenantConfig, secrets: Secrets) {
  return replaceTenantConfig(config, entry, (text, secret) =>
    secret !== undefined && secrets.isSame(config.id, text, secret) ? secret : ANOTHER,
  );
}

function conflictOf(entry: TenantInFile, config: TenantConfig, secrets: Secrets): string {
  const fieldsOf = (tenant: object) =>
    toTenantFields({ ...config, ...tenant }, (secret) => JSON.stringify(secret));
  const [is, says] = [fieldsOf({}), fieldsOf(written(entry, config, secrets))];
  const names = (Object.keys(says) as (keyof typeof says)[])
    .filter((name) => !isDeepStrictEqual(is[name], says[name]))
    .map((name) => name.replace(/_source$/, ''));
  return (
    `was registered through the API, and differs from this in ${names.join(', ')}; write` +
    ' "adopt: true" here to give it to this file, or take it out'
  );
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
