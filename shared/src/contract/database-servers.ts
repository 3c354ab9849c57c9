/**
 * Database servers that are declared with a cap of their own, which all tenants on them share.
 * Owns: what a proxy and the allocator know of one, and which tenants are on it. Leaves: how people
 * write one to server-resource.ts.
 */
import { z } from 'zod';
import { TENANT_ID_PATTERN } from '../kernel/ids.ts';
import { PackedMap } from '../kernel/packed-map.ts';

export const SERVERS_MAX = 1_000;
export const SERVER_CONNECTIONS_MAX = 1_000_000;

/** Whom a connection is opened to, by name or address. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

export const serverConfigSchema = z.strictObject({
  /** As the operator wrote it; unique without regard to case. */
  name: z.string().regex(TENANT_ID_PATTERN),
  host: z.string().min(1).max(255),
  port: z.int().min(1).max(65_535),
  /** Server connections that all tenants on it may occupy together, over the whole fleet. */
  maxConnections: z.int().min(1).max(SERVER_CONNECTIONS_MAX),
});
export type ServerConfig = Readonly<z.infer<typeof serverConfigSchema>>;

/** By `serverKey(name)`; made anew when one changes, never changed. */
export type DeclaredServers = ReadonlyMap<string, ServerConfig>;

export const NO_SERVERS: DeclaredServers = new Map<string, ServerConfig>();

export function serverKey(name: string): string {
  return name.toLowerCase();
}

/** Equal for those whose host, without regard to case, and port are the same. */
export function addressKey({ host, port }: ServerAddress): string {
  return `${host.toLowerCase()}:${port}`;
}

/** `servers` after some were set, or removed where nothing is given for their key. */
export function withServers(
  servers: DeclaredServers,
  changes: readonly (readonly [string, ServerConfig | undefined])[],
): DeclaredServers {
  if (changes.length === 0) return servers;
  const next = new Map(servers);
  for (const [key, server] of changes) {
    if (server === undefined) next.delete(key);
    else next.set(key, server);
  }
  return next;
}

/** The declared server a tenant's connections go to, or nothing: then no shared cap holds. */
export function serverOf(
  { servers }: { readonly servers: DeclaredServers },
  tenant: ServerAddress,
): ServerConfig | undefined {
  return servers.size === 0 ? undefined : byAddress(servers).get(addressKey(tenant));
}

const indexes = new WeakMap<DeclaredServers, ReadonlyMap<string, ServerConfig>>();

function byAddress(servers: DeclaredServers): ReadonlyMap<string, ServerConfig> {
  const known = indexes.get(servers);
  if (known !== undefined) return known;
  const index = new Map(Array.from(servers.values(), (one) => [addressKey(one), one] as const));
  indexes.set(servers, index);
  return index;
}

/** Why these must not be served, or nothing. */
export function findServerInconsistency(servers: DeclaredServers): string | undefined {
  if (servers.size > SERVERS_MAX) return `${servers.size} servers; ${SERVERS_MAX} are allowed`;
  const names = new Map<string, string>();
  for (const [key, { name, ...address }] of servers) {
    if (key !== serverKey(name)) return `server "${name}" is indexed as "${key}"`;
    const twin = names.get(addressKey(address));
    if (twin !== undefined) return `servers "${twin}" and "${name}" are the same address`;
    names.set(addressKey(address), name);
  }
  return undefined;
}

const NOBODY: ReadonlySet<string> = new Set<string>();

/**
 * Which tenants are on which server, kept up with a config as it changes: a change costs what it
 * changes, of 100,000 tenants too. Servers need not be declared for it, so that declaring one later
 * looks at no tenant.
 */
export class TenantsByServer {
  #tenants = PackedMap.empty<ServerAddress>();
  readonly #keysAt = new Map<string, Set<string>>();
  readonly #addressOf = new Map<string, string>();

  /**
   * Takes over what differs from the config that was given last.
   * @returns the keys of tenants that came, went, or are another text than before.
   */
  follow({ tenants }: { readonly tenants: PackedMap<ServerAddress> }): readonly string[] {
    const changed = [...tenants.changedKeys(this.#tenants)];
    for (const key of changed) this.#place(key, tenants.look(key));
    this.#tenants = tenants;
    return changed;
  }

  /** The keys of the tenants with this host, without regard to case, and port. */
  at(server: ServerAddress): ReadonlySet<string> {
    return this.#keysAt.get(addressKey(server)) ?? NOBODY;
  }

  #place(key: string, tenant: ServerAddress | undefined): void {
    const before = this.#addressOf.get(key);
    const after = tenant && addressKey(tenant);
    if (before === after) return;
    if (before !== undefined) this.#leave(before, key);
    if (after === undefined) this.#addressOf.delete(key);
    else this.#join(after, key);
  }

  #join(address: string, key: string): void {
    this.#addressOf.set(key, address);
    const keys = this.#keysAt.get(address);
    if (keys === undefined) this.#keysAt.set(address, new Set([key]));
    else keys.add(key);
  }

  #leave(address: string, key: string): void {
    const keys = this.#keysAt.get(address);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysAt.delete(address);
  }
}
