/**
 * The users of a tenant beyond its own one: which of them a client may be, and which user of the
 * database server each is.
 * Owns: their shapes, as people write and read them and as the planes hold them, and what they must
 * agree on. Leaves: proofs and pools to the data plane.
 */
import { z } from 'zod';
import type { AuthQuery } from './auth-query.ts';
import { nameSchema, passwordSchema } from './field-schemas.ts';
import { clientAuthSchema, poolModeSchema } from './pool-settings.ts';
import { secretSchema } from './secret.ts';
import type { DescribeSecret, MakeSecret } from './secret.ts';

/** More belong into the database, behind an auth_query. */
export const USERS_MAX = 200;
const CONNECTIONS_MAX = 10_000;
const CLIENTS_MAX = 1_000_000;

const storedNameSchema = z.string().min(1).max(63);

const tenantUserSchema = z.strictObject({
  name: storedNameSchema,
  /** Absent: looked up by the tenant's auth_query. */
  password: secretSchema.optional(),
  /** On the database server; absent: the same name. */
  serverUser: storedNameSchema.optional(),
  /** Absent: the same as the clients'. */
  serverPassword: secretSchema.optional(),
  poolMode: poolModeSchema.optional(),
  maxConnections: z.int().min(1).max(CONNECTIONS_MAX).optional(),
  maxClientConnections: z.int().min(1).max(CLIENTS_MAX).optional(),
  clientAuth: clientAuthSchema.optional(),
});
export type TenantUser = Readonly<z.infer<typeof tenantUserSchema>>;

export const tenantUsersSchema = z.array(tenantUserSchema).max(USERS_MAX);

const ignored = z.unknown().optional().meta({ readOnly: true, description: 'Ignored on writes.' });

const writtenUserSchema = z.strictObject({
  name: nameSchema.meta({ description: 'As clients name themselves.' }),
  password: passwordSchema.nullish().meta({
    description:
      'Not given: the present one is kept. Without one, or null: looked up by auth_query.' +
      ' Otherwise like the password of the tenant.',
    writeOnly: true,
  }),
  server_user: nameSchema.nullish().meta({ description: 'Default: the same name.' }),
  server_password: passwordSchema.nullish().meta({
    description:
      "Not given: the present one is kept. Without one, or null: the same as the clients'.",
    writeOnly: true,
  }),
  pool_mode: poolModeSchema.nullish(),
  max_connections: z.int().min(1).max(CONNECTIONS_MAX).nullish(),
  max_client_connections: z.int().min(1).max(CLIENTS_MAX).nullish(),
  client_auth: clientAuthSchema.nullish(),
  password_source: ignored,
  server_password_source: ignored,
});
type WrittenUser = Readonly<z.infer<typeof writtenUserSchema>>;

export const writtenUsersSchema = z
  .array(writtenUserSchema)
  .max(USERS_MAX)
  .superRefine((users, context) => {
    const names = new Set<string>();
    for (const [index, { name }] of users.entries()) {
      const known = names.size;
      if (names.add(name).size > known) continue;
      const message = `there are two users "${name}"`;
      context.addIssue({ code: 'custom', message, path: [index, 'name'] });
    }
  })
  .meta({ description: 'More users of this tenant; the list replaces the present one.' });

const userAnswerSchema = z.strictObject({
  name: z.string(),
  password_source: z
    .string()
    .nullable()
    .meta({ description: '"sealed", or the reference; null: looked up by auth_query.' }),
  server_user: z.string(),
  server_password_source: z
    .string()
    .nullable()
    .meta({ description: "null: the same as the clients'." }),
  pool_mode: poolModeSchema.nullable(),
  max_connections: z.int().nullable(),
  max_client_connections: z.int().nullable(),
  client_auth: clientAuthSchema.nullable(),
});
export const userAnswersSchema = z.array(userAnswerSchema);

/** Passwords that are not given are those of the present users of the same names. */
export function toTenantUsers(
  written: readonly WrittenUser[],
  current: readonly TenantUser[] | undefined,
  makeSecret: MakeSecret,
): TenantUser[] {
  return written.map((user) => {
    const present = current?.find(({ name }) => name === user.name);
    const secret = (given: string | null | undefined, kept: TenantUser['password']) =>
      typeof given === 'string' ? makeSecret(given, kept) : given === null ? undefined : kept;
    return given({
      name: user.name,
      password: secret(user.password, present?.password),
      serverUser: user.server_user === user.name ? undefined : user.server_user,
      serverPassword: secret(user.server_password, present?.serverPassword),
      poolMode: user.pool_mode,
      maxConnections: user.max_connections,
      maxClientConnections: user.max_client_connections,
      clientAuth: user.client_auth,
    }) as TenantUser;
  });
}

/** What is stored says nothing of what was not given. */
function given(user: { readonly [Name in keyof TenantUser]?: TenantUser[Name] | null }): object {
  return Object.fromEntries(
    Object.entries(user).filter(([, value]) => value !== null && value !== undefined),
  );
}

export function toUserAnswer(
  user: TenantUser,
  describeSecret: DescribeSecret,
): z.infer<typeof userAnswerSchema> {
  const { password, serverPassword } = user;
  return {
    name: user.name,
    password_source: password === undefined ? null : describeSecret(password),
    server_user: user.serverUser ?? user.name,
    server_password_source: serverPassword === undefined ? null : describeSecret(serverPassword),
    pool_mode: user.poolMode ?? null,
    max_connections: user.maxConnections ?? null,
    max_client_connections: user.maxClientConnections ?? null,
    client_auth: user.clientAuth ?? null,
  };
}

/** What the fields of a tenant that say who may log in must agree on. */
export interface UsersOfTenant {
  readonly protocol: string;
  readonly username: string;
  readonly users?: readonly Pick<TenantUser, 'name' | 'password'>[] | undefined;
  readonly authQuery?: Pick<AuthQuery, 'user' | 'password'> | undefined;
}

/** Why these users cannot be, or nothing. */
export function findUserInconsistency(tenant: UsersOfTenant): string | undefined {
  const { protocol, username, users = [], authQuery } = tenant;
  if (users.some(({ name }) => name === username)) {
    return `user "${username}" is the tenant's own user already, and must not be one of its users`;
  }
  const lacking = users.find(({ password }) => password === undefined);
  if (lacking !== undefined && authQuery === undefined) {
    return `user "${lacking.name}" has no password, and the tenant no auth_query to look it up`;
  }
  if (authQuery === undefined) return undefined;
  if (protocol !== 'postgres') return `auth_query is for tenants of db_type postgres alone`;
  if ((authQuery.user === undefined) === (authQuery.password === undefined)) return undefined;
  return `auth_query must have both a user and a password, or neither`;
}
