/**
 * What a tenant may have beyond what each must have: every such part once, with its name outside
 * and its shapes inside and outside. A change of `null` takes a part away. The schemas of REST,
 * YAML and events, and the conversions between them, are made from this table.
 * To add one: a row here, its line in docs/configuration.md, what obeys it, and
 * pool-identity.ts when it decides where connections go or who they are.
 */
import { z } from 'zod';
import {
  accessRulesSchema,
  toAccessRule,
  toWrittenAccessRule,
  writtenAccessRulesSchema,
} from './access-rules.ts';
import {
  authQuerySchema,
  authQueryAnswerSchema,
  toAuthQuery,
  toAuthQueryAnswer,
  writtenAuthQuerySchema,
} from './auth-query.ts';
import { sqlSchema } from './field-schemas.ts';
import type { DescribeSecret, MakeSecret } from './secret.ts';
import {
  serverTlsAnswerSchema,
  serverTlsSchema,
  toServerTls,
  toServerTlsAnswer,
  writtenServerTlsSchema,
} from './server-tls.ts';
import {
  tenantUsersSchema,
  toTenantUsers,
  toUserAnswer,
  userAnswersSchema,
  writtenUsersSchema,
} from './tenant-users.ts';

export type { DescribeSecret, MakeSecret } from './secret.ts';

interface TenantPartSpec<
  Name extends string,
  Stored extends z.ZodType,
  Written extends z.ZodType,
  Answer extends z.ZodType,
> {
  /** In REST and YAML. */
  readonly name: Name;
  readonly stored: Stored;
  /** What people write, and how that becomes what is stored once it is accepted. */
  readonly written: Written;
  readonly toStored: (
    written: z.infer<Written>,
    current: z.infer<Stored> | undefined,
    makeSecret: MakeSecret,
  ) => z.infer<Stored>;
  readonly answer: Answer;
  readonly toAnswer: (stored: z.infer<Stored>, describeSecret: DescribeSecret) => z.infer<Answer>;
}

export const TENANT_PARTS = Object.freeze({
  initSql: part({
    name: 'init_sql',
    stored: z.string().max(16_384),
    written: sqlSchema.meta({
      description: 'Run on each server connection after its login, and again after a reset.',
    }),
    toStored: (text) => text,
    answer: z.string(),
    toAnswer: (text) => text,
  }),
  serverTls: part({
    name: 'server_tls',
    stored: serverTlsSchema,
    written: writtenServerTlsSchema,
    toStored: toServerTls,
    answer: serverTlsAnswerSchema,
    toAnswer: toServerTlsAnswer,
  }),
  access: part({
    name: 'access',
    stored: accessRulesSchema,
    written: writtenAccessRulesSchema,
    toStored: (rules) => rules.map(toAccessRule),
    answer: writtenAccessRulesSchema,
    toAnswer: (rules) => rules.map(toWrittenAccessRule),
  }),
  users: part({
    name: 'users',
    stored: tenantUsersSchema,
    written: writtenUsersSchema,
    toStored: toTenantUsers,
    answer: userAnswersSchema,
    toAnswer: (users, describeSecret) => users.map((user) => toUserAnswer(user, describeSecret)),
  }),
  authQuery: part({
    name: 'auth_query',
    stored: authQuerySchema,
    written: writtenAuthQuerySchema,
    toStored: toAuthQuery,
    answer: authQueryAnswerSchema,
    toAnswer: toAuthQueryAnswer,
  }),
});

type Table = typeof TENANT_PARTS;
type Key = keyof Table;

export const TENANT_PART_KEYS = Object.freeze(Object.keys(TENANT_PARTS)) as readonly Key[];

/** As the planes hold them; a part that a tenant does not have is not in it. */
export type TenantParts = { readonly [K in Key]?: z.infer<Table[K]['stored']> | undefined };

export const storedPartFields = Object.fromEntries(
  TENANT_PART_KEYS.map((key) => [key, TENANT_PARTS[key].stored.optional()]),
) as { [K in Key]: z.ZodOptional<Table[K]['stored']> };

/** Only the parts that changed; `null` takes one away. */
export const partChangeFields = Object.fromEntries(
  TENANT_PART_KEYS.map((key) => [key, TENANT_PARTS[key].stored.nullable().optional()]),
) as { [K in Key]: z.ZodOptional<z.ZodNullable<Table[K]['stored']>> };

export const writtenPartFields = Object.fromEntries(
  TENANT_PART_KEYS.map((key) => [TENANT_PARTS[key].name, TENANT_PARTS[key].written.nullish()]),
) as { [K in Key as Table[K]['name']]: z.ZodOptional<z.ZodNullable<Table[K]['written']>> };

/** null where the tenant does not have it. */
export const partAnswerFields = Object.fromEntries(
  TENANT_PART_KEYS.map((key) => [TENANT_PARTS[key].name, TENANT_PARTS[key].answer.nullable()]),
) as { [K in Key as Table[K]['name']]: z.ZodNullable<Table[K]['answer']> };
export type PartsAnswer = {
  readonly [K in Key as Table[K]['name']]: z.infer<Table[K]['answer']> | null;
};

type WrittenParts = { readonly [K in Key as Table[K]['name']]?: unknown };

/** Parts to change; `null` takes one away, what is not in it stays. */
export type PartChangeSet = { readonly [K in Key]?: TenantParts[K] | null };

/** What the input changes. @throws what `makeSecret` throws. */
export function toPartChanges(
  input: WrittenParts,
  current: TenantParts | undefined,
  makeSecret: MakeSecret,
): PartChangeSet {
  return Object.fromEntries(
    TENANT_PART_KEYS.map((key) => {
      const { name, toStored } = TENANT_PARTS[key];
      const written = input[name] as never;
      const isGiven = written !== null && written !== undefined;
      return [key, isGiven ? toStored(written, current?.[key] as never, makeSecret) : written];
    }),
  );
}

/** The parts that the input gives. @throws what `makeSecret` throws. */
export function toParts(
  input: WrittenParts,
  current: TenantParts | undefined,
  makeSecret: MakeSecret,
): TenantParts {
  const changes = Object.entries(toPartChanges(input, current, makeSecret));
  return Object.fromEntries(changes.filter(([, value]) => value !== null && value !== undefined));
}

export function toPartsAnswer(parts: TenantParts, describeSecret: DescribeSecret): PartsAnswer {
  return Object.fromEntries(
    TENANT_PART_KEYS.map((key) => {
      const { name, toAnswer } = TENANT_PARTS[key];
      const stored = parts[key] as never;
      return [name, stored === undefined ? null : toAnswer(stored, describeSecret)];
    }),
  ) as PartsAnswer;
}

function part<
  const Name extends string,
  Stored extends z.ZodType,
  Written extends z.ZodType,
  Answer extends z.ZodType,
>(spec: TenantPartSpec<Name, Stored, Written, Answer>) {
  return Object.freeze(spec);
}
