/**
 * What a write would do to the pools that proxies hold, by the same identity by which proxies
 * decide: shared/contract/pool-identity.ts.
 * A credential counts as the same when its sealed form is: a password that is written again as it
 * was keeps that.
 */
import { z } from 'zod';
import {
  databaseAfter,
  poolKey,
  sealedFingerprint,
} from '@dbbouncer/shared/contract/pool-identity.ts';
import type { PoolPurpose } from '@dbbouncer/shared/contract/pool-identity.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';

export const poolEffectSchema = z.enum(['kept', 'replaced', 'drained', 'halted', 'opened']).meta({
  description:
    'kept: its connections go on, with other limits perhaps. replaced: another one is opened,' +
    ' and this one ends as its transactions do. drained: it ends, and nothing takes its place.' +
    ' halted: its connections close, since the tenant is paused or drained. opened: it is not' +
    ' there yet, and is opened before a client asks for it.',
});
export type PoolEffect = z.infer<typeof poolEffectSchema>;

/** As a proxy reports it. */
export interface ReportedPool {
  readonly database: string;
  readonly user: string;
  readonly state?: 'waiting_for_login' | 'draining' | undefined;
}

/** What becomes of one pool when the config of its tenant changes from `before` to `after`. */
export function poolEffect(
  pool: ReportedPool,
  before: TenantConfig | undefined,
  after: TenantConfig | undefined,
): PoolEffect {
  if (before === undefined || after === undefined || pool.state === 'draining') return 'drained';
  if (operationsOf(after).state !== 'active') return 'halted';
  const owners = ownersOf(before, pool.user);
  const keys = new Set(owners.map((owner) => keyOf(before, pool.database, owner)));
  const isKept = [...ownersOf(after, pool.user)].some(
    (owner) =>
      databasesOf(after, owner).includes(pool.database) &&
      keys.has(keyOf(after, pool.database, owner)),
  );
  if (isKept) return 'kept';
  return owners.some((owner) => isReplaced(owner, pool.database, before, after))
    ? 'replaced'
    : 'drained';
}

/** Who has the connections of a pool: one of the users that a config names, or one it looks up. */
interface Owner {
  readonly is: 'own' | 'listed' | 'asker' | 'looked_up';
  readonly name: string;
  readonly serverUser: string;
  readonly secret: Secret | undefined;
}

function ownersOf(tenant: TenantConfig, serverUser: string): readonly Owner[] {
  const named = namedUsers(tenant).filter((owner) => owner.serverUser === serverUser);
  if (named.length > 0 || tenant.authQuery === undefined) return named;
  return [{ is: 'looked_up', name: serverUser, serverUser, secret: undefined }];
}

function namedUsers(tenant: TenantConfig): readonly Owner[] {
  const { username, password, users = [], authQuery } = tenant;
  const own: Owner = { is: 'own', name: username, serverUser: username, secret: password };
  const listed = users.map((user): Owner => ({
    is: 'listed',
    name: user.name,
    serverUser: user.serverUser ?? user.name,
    secret: user.serverPassword ?? user.password,
  }));
  if (authQuery === undefined) return [own, ...listed];
  const serverUser = authQuery.user ?? username;
  const secret = authQuery.password ?? password;
  return [own, ...listed, { is: 'asker', name: serverUser, serverUser, secret }];
}

function databasesOf(tenant: TenantConfig, { is }: Owner): readonly string[] {
  const { database, databases, authQuery } = tenant;
  return is === 'asker' ? [authQuery?.database ?? database] : [database, ...databases];
}

function keyOf(tenant: TenantConfig, database: string, { is, serverUser, secret }: Owner): string {
  const purpose: PoolPurpose = is === 'asker' ? 'auth_query' : 'clients';
  const fingerprint = secret === undefined ? '' : sealedFingerprint(secret);
  return poolKey(tenant, database, { purpose, serverUser, fingerprint });
}

/** Whether the clients of `owner` go on in another pool. */
function isReplaced(
  { is, name }: Owner,
  database: string,
  before: TenantConfig,
  after: TenantConfig,
): boolean {
  if (is === 'asker') return after.authQuery !== undefined;
  if (databaseAfter(before, after, database) === undefined) return false;
  if (is === 'own') return true;
  const isListed = (after.users ?? []).some((user) => user.name === name);
  return is === 'listed' ? isListed : isListed || after.authQuery !== undefined;
}
