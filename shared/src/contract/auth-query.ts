/**
 * How users that a tenant does not list are looked up in its database.
 * Owns: the shapes, as people write and read them and as the planes hold them, and the default
 * query. Leaves: asking to the data plane.
 * Source: PostgreSQL manual, "pg_shadow"; the two columns are those of PgBouncer's auth_query.
 */
import { z } from 'zod';
import { formatDuration, parseDurationMs } from './duration.ts';
import { durationSchema } from './duration-schema.ts';
import { nameSchema, passwordSchema, sqlSchema } from './field-schemas.ts';
import { secretSchema } from './secret.ts';
import type { DescribeSecret, MakeSecret } from './secret.ts';

/** A password that is past its VALID UNTIL is none: the server would refuse it too. */
export const DEFAULT_AUTH_QUERY =
  'SELECT usename, CASE WHEN valuntil < pg_catalog.now() THEN NULL ELSE passwd END' +
  ' FROM pg_catalog.pg_shadow WHERE usename = $1';

/** Short: a new password is refused once, and a removed user let in, for so long. */
const CACHE_TTL = { minMs: 0, maxMs: 86_400_000, defaultMs: 10_000 } as const;
const NEGATIVE_TTL = { minMs: 0, maxMs: 3_600_000, defaultMs: 5_000 } as const;

export const authQuerySchema = z.strictObject({
  /** Absent: the default one. */
  query: z.string().max(16_384).optional(),
  /** Who asks; absent: the tenant's own user. */
  user: z.string().min(1).max(63).optional(),
  password: secretSchema.optional(),
  /** Where; absent: the tenant's own database. */
  database: z.string().min(1).max(63).optional(),
  cacheTtlMs: z.int().min(CACHE_TTL.minMs).max(CACHE_TTL.maxMs),
  negativeTtlMs: z.int().min(NEGATIVE_TTL.minMs).max(NEGATIVE_TTL.maxMs),
});
export type AuthQuery = Readonly<z.infer<typeof authQuerySchema>>;

export const writtenAuthQuerySchema = z
  .strictObject({
    query: sqlSchema.nullish().meta({
      description:
        'Returns the name and the password or verifier of the user $1. Default: pg_shadow.',
    }),
    user: nameSchema.nullish().meta({ description: "Who asks. Default: the tenant's own user." }),
    password: passwordSchema.nullish().meta({
      description: 'Not given: the present one is kept, if the user is the same.',
      writeOnly: true,
    }),
    database: nameSchema.nullish().meta({ description: "Where. Default: the tenant's own one." }),
    cache_ttl: durationSchema(
      CACHE_TTL.minMs,
      CACHE_TTL.maxMs,
      'How long an answer holds (default 10s);',
    ).nullish(),
    negative_ttl: durationSchema(
      NEGATIVE_TTL.minMs,
      NEGATIVE_TTL.maxMs,
      'How long it holds that there is no such user (default 5s);',
    ).nullish(),
    password_source: z
      .unknown()
      .optional()
      .meta({ readOnly: true, description: 'Ignored on writes.' }),
  })
  .meta({ description: 'Looks users up in the database whom the tenant does not list.' });

export const authQueryAnswerSchema = z.strictObject({
  query: z.string().nullable(),
  user: z.string().nullable(),
  password_source: z.string().nullable(),
  database: z.string().nullable(),
  cache_ttl: z.string(),
  negative_ttl: z.string(),
});

export function toAuthQuery(
  written: Readonly<z.infer<typeof writtenAuthQuerySchema>>,
  current: AuthQuery | undefined,
  makeSecret: MakeSecret,
): AuthQuery {
  const { query, database } = written;
  const user = written.user ?? undefined;
  const kept = current?.user === user ? current?.password : undefined;
  const password =
    typeof written.password === 'string'
      ? makeSecret(written.password, kept)
      : written.password === undefined
        ? kept
        : undefined;
  return {
    ...(typeof query === 'string' && { query }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(typeof database === 'string' && { database }),
    cacheTtlMs: durationOr(written.cache_ttl, CACHE_TTL.defaultMs),
    negativeTtlMs: durationOr(written.negative_ttl, NEGATIVE_TTL.defaultMs),
  };
}

function durationOr(written: string | null | undefined, defaultMs: number): number {
  return typeof written === 'string' ? (parseDurationMs(written) as number) : defaultMs;
}

export function toAuthQueryAnswer(
  authQuery: AuthQuery,
  describeSecret: DescribeSecret,
): z.infer<typeof authQueryAnswerSchema> {
  const { query, user, password, database, cacheTtlMs, negativeTtlMs } = authQuery;
  return {
    query: query ?? null,
    user: user ?? null,
    password_source: password === undefined ? null : describeSecret(password),
    database: database ?? null,
    cache_ttl: formatDuration(cacheTtlMs),
    negative_ttl: formatDuration(negativeTtlMs),
  };
}
