/**
 * A tenant's answer turned back into what people write: the inverse of reading it. Nothing is said
 * of what has its default. Pure; how a secret is written is passed in.
 */
import { DEFAULT_PORTS } from './tenant-conversion.ts';
import type { TenantFields } from './tenant-resource.ts';

/** As an entry of the config file. */
export type WrittenTenant = Readonly<Record<string, unknown>>;

/** Whose secret it is: `['password']`, `['users', 'ann', 'server_password']`. */
export type SecretPlace = readonly string[];

/**
 * @param source "sealed", `${NAME}` or `file:/path`, as answers describe secrets.
 * @returns what to write in its place.
 */
export type WriteSecret = (place: SecretPlace, source: string) => string;

export function toWrittenTenant(fields: TenantFields, writeSecret: WriteSecret): WrittenTenant {
  const {
    id: _,
    password_source,
    port,
    databases,
    users,
    server_tls,
    auth_query,
    ...rest
  } = fields;
  const { db_type, host, dbname, username, access, init_sql, ...pool } = rest;
  return withoutDefaults({
    db_type,
    host,
    port: port === DEFAULT_PORTS[db_type] ? null : port,
    dbname,
    databases: databases.length === 0 ? null : databases,
    username,
    password: writeSecret(['password'], password_source),
    ...pool,
    server_tls: server_tls && toWrittenTls(server_tls, writeSecret),
    access,
    users: users?.map((user) => toWrittenUser(user, writeSecret)) ?? null,
    auth_query: auth_query && toWrittenAuthQuery(auth_query, writeSecret),
    init_sql,
  });
}

function toWrittenTls(
  { key_source, ...tls }: NonNullable<TenantFields['server_tls']>,
  writeSecret: WriteSecret,
): WrittenTenant {
  const key = key_source === null ? null : writeSecret(['server_tls', 'key'], key_source);
  return withoutDefaults({ ...tls, key });
}

type UserFields = NonNullable<TenantFields['users']>[number];

function toWrittenUser(user: UserFields, writeSecret: WriteSecret): WrittenTenant {
  const { name, password_source, server_user, server_password_source, ...rest } = user;
  const secret = (field: string, source: string | null) =>
    source === null ? null : writeSecret(['users', name, field], source);
  return withoutDefaults({
    name,
    password: secret('password', password_source),
    server_user: server_user === name ? null : server_user,
    server_password: secret('server_password', server_password_source),
    ...rest,
  });
}

function toWrittenAuthQuery(
  { password_source, ...rest }: NonNullable<TenantFields['auth_query']>,
  writeSecret: WriteSecret,
): WrittenTenant {
  const password =
    password_source === null ? null : writeSecret(['auth_query', 'password'], password_source);
  return withoutDefaults({ ...rest, password });
}

function withoutDefaults(fields: Readonly<Record<string, unknown>>): WrittenTenant {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
