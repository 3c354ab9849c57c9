/**
 * Which tenant, which of its databases and which user a login means. Pure: one snapshot in, one
 * answer out.
 * Owns: the selectors and their precedence. Leaves: reading them from bytes to session/, passwords
 * to authentication.
 *
 * Explicit selectors, which must agree: the parameters (`options`, startup parameter, SNI,
 * connection attribute) and the user name (`X__user`; `user.X` by setting). The database name
 * selects only when none of these is present.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Protocol, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { RoutingSnapshot } from './snapshot.ts';

/** Where an explicit parameter was given. */
export type SelectorSource = 'options' | 'parameter' | 'sni' | 'attribute';

export interface Login {
  /** Of the listener: tenants of other protocols do not exist here. */
  readonly protocol: Protocol;
  readonly user: string;
  /** Absent and empty mean the same. */
  readonly database: string | undefined;
  /** As the client sent them; `sni` is the whole server name. */
  readonly selectors: Readonly<Partial<Record<SelectorSource, string | undefined>>>;
}

export interface SelectorSettings {
  /** SNI `X.<sniSuffix>` selects X; without it server names select nothing. */
  readonly sniSuffix?: string | undefined;
  /**
   * Whether `user.X` selects X when X is a tenant. Default is 'off': dots are common in user names.
   */
  readonly usernameDot: 'off' | 'on';
}

export interface Selector {
  readonly source: SelectorSource;
  readonly value: string;
}

export type Resolution =
  | {
      readonly kind: 'tenant';
      readonly tenant: TenantConfig;
      readonly pool: PoolSettings;
      /** Without the selector. */
      readonly user: string;
      /**
       * Nothing when the tenant does not list `requestedDatabase`: told only after authentication
       * (3D000).
       */
      readonly database: string | undefined;
      readonly requestedDatabase: string | undefined;
    }
  /**
   * No tenant, but the client must not be able to tell: it goes through an authentication that
   * fails.
   */
  | {
      readonly kind: 'unknown';
      readonly reason: 'unknown_tenant' | 'no_selector' | 'selector_conflict';
      /** What the client named, for log and audit. */
      readonly claimed: string | undefined;
      /** As presented. */
      readonly user: string;
    }
  /**
   * Parameters that name different tenants; told at once, since it depends on nothing but the
   * client's own words.
   */
  | { readonly kind: 'conflict'; readonly selectors: readonly Selector[] };

/** Decides what `login` means under `snapshot`. */
export function resolveTenant(
  login: Login,
  snapshot: RoutingSnapshot,
  settings: SelectorSettings,
): Resolution {
  const selectors = explicitParameters(login.selectors, settings.sniSuffix);
  const claimed = selectors[0]?.value;
  if (selectors.some((selector) => tenantKey(selector.value) !== tenantKey(claimed ?? ''))) {
    return { kind: 'conflict', selectors };
  }
  const find = (id: string) => snapshot.tenant(id, login.protocol);
  const named = splitUser(login.user, find, settings.usernameDot);
  if (named.kind === 'conflict') return unknown('selector_conflict', claimed, login.user);
  if (claimed !== undefined) {
    if (named.tenant !== undefined && tenantKey(named.tenant.id) !== tenantKey(claimed)) {
      return unknown('selector_conflict', claimed, login.user);
    }
    const tenant = find(claimed);
    if (tenant === undefined) return unknown('unknown_tenant', claimed, login.user);
    return explicit(tenant, named.user, login, snapshot);
  }
  if (named.tenant !== undefined) return explicit(named.tenant, named.user, login, snapshot);
  return byDatabase(login, snapshot);
}

/**
 * The parameters that were given, in a fixed order; a server name outside the suffix is not one.
 */
function explicitParameters(
  given: Login['selectors'],
  sniSuffix: string | undefined,
): readonly Selector[] {
  const candidates: readonly (readonly [SelectorSource, string | undefined])[] = [
    ['options', given.options],
    ['parameter', given.parameter],
    ['sni', given.sni === undefined ? undefined : labelBefore(given.sni, sniSuffix)],
    ['attribute', given.attribute],
  ];
  return candidates.flatMap(([source, value]) => (value === undefined ? [] : [{ source, value }]));
}

function labelBefore(serverName: string, suffix: string | undefined): string | undefined {
  if (suffix === undefined || suffix === '') return undefined;
  const tail = `.${suffix.toLowerCase()}`;
  if (serverName.length <= tail.length || !serverName.toLowerCase().endsWith(tail)) {
    return undefined;
  }
  return serverName.slice(0, -tail.length);
}

type NamedByUser =
  | { readonly kind: 'user'; readonly tenant: TenantConfig | undefined; readonly user: string }
  | { readonly kind: 'conflict' };

/** Takes the tenant out of the user name; what names no tenant is part of the user's own name. */
function splitUser(
  user: string,
  find: (id: string) => TenantConfig | undefined,
  usernameDot: 'off' | 'on',
): NamedByUser {
  const prefixed = splitPrefix(user, find);
  const rest = prefixed?.user ?? user;
  const dotted = usernameDot === 'on' ? splitDot(rest, find) : undefined;
  if (prefixed !== undefined && dotted !== undefined && prefixed.tenant !== dotted.tenant) {
    return { kind: 'conflict' };
  }
  return {
    kind: 'user',
    tenant: prefixed?.tenant ?? dotted?.tenant,
    user: dotted?.user ?? rest,
  };
}

interface SplitName {
  readonly tenant: TenantConfig;
  readonly user: string;
}

/**
 * `X__user`. No id contains `__`, so X ends at the first one, or a character later when X itself
 * ends in `_`.
 */
function splitPrefix(
  user: string,
  find: (id: string) => TenantConfig | undefined,
): SplitName | undefined {
  const first = user.indexOf('__');
  if (first < 1) return undefined;
  const ends = user.charAt(first + 2) === '_' ? [first, first + 1] : [first];
  for (const end of ends) {
    const tenant = find(user.slice(0, end));
    const rest = user.slice(end + 2);
    if (tenant !== undefined && rest !== '') return { tenant, user: rest };
  }
  return undefined;
}

/** `user.X`. No id contains a dot, so X follows the last one. */
function splitDot(
  user: string,
  find: (id: string) => TenantConfig | undefined,
): SplitName | undefined {
  const dot = user.lastIndexOf('.');
  if (dot < 1) return undefined;
  const tenant = find(user.slice(dot + 1));
  return tenant === undefined ? undefined : { tenant, user: user.slice(0, dot) };
}

function explicit(
  tenant: TenantConfig,
  user: string,
  login: Login,
  snapshot: RoutingSnapshot,
): Resolution {
  const pool = snapshot.poolSettings(tenant);
  const database = chooseDatabase(tenant, user, login);
  return { kind: 'tenant', tenant, pool, user, database, requestedDatabase: login.database };
}

/**
 * The database an explicitly selected tenant serves this login with. libpq sends the user name
 * where no database is given, and drivers without that habit are often configured with the tenant's
 * id: both mean the tenant's own.
 */
function chooseDatabase(tenant: TenantConfig, user: string, login: Login): string | undefined {
  const requested = login.database ?? '';
  if (requested === '') return tenant.database;
  if (tenant.databases.includes(requested)) return requested;
  const meansOwn =
    requested === tenant.database ||
    requested === login.user ||
    requested === user ||
    tenantKey(requested) === tenantKey(tenant.id);
  return meansOwn ? tenant.database : undefined;
}

/**
 * Without an explicit selector the database name is one; libpq's default for it, the user name,
 * says nothing.
 */
function byDatabase(login: Login, snapshot: RoutingSnapshot): Resolution {
  const { user, database: requested = '' } = login;
  const tenant = snapshot.tenant(requested, login.protocol);
  if (tenant !== undefined) {
    const pool = snapshot.poolSettings(tenant);
    const database = tenant.database;
    return { kind: 'tenant', tenant, pool, user, database, requestedDatabase: requested };
  }
  return requested === '' || requested === user
    ? unknown('no_selector', undefined, user)
    : unknown('unknown_tenant', requested, user);
}

function unknown(
  reason: 'unknown_tenant' | 'no_selector' | 'selector_conflict',
  claimed: string | undefined,
  user: string,
): Resolution {
  return { kind: 'unknown', reason, claimed, user };
}
