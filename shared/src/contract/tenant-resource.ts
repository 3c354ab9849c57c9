/**
 * A tenant as people write and read it, in REST and YAML alike: snake_case, durations as text, the
 * password write-only.
 * Owns: that shape and its schemas. Leaves: conversion to TenantConfig to tenant-conversion.ts,
 * rules that need other tenants or the defaults to the control plane's deciders.
 */
import { z } from 'zod';
import { isTenantId, TENANT_ID_RULE } from '../kernel/ids.ts';
import { hostSchema, ignored, nameSchema, passwordSchema, portSchema } from './field-schemas.ts';
import { ownPoolFields, writtenPoolFields } from './pool-settings.ts';
import { protocolSchema } from './routing-config.ts';
import { partAnswerFields, writtenPartFields } from './tenant-parts.ts';

const idSchema = z
  .string()
  .refine(isTenantId, { error: `must be ${TENANT_ID_RULE}` })
  .meta({ description: 'Unique without regard to case.', examples: ['acme'] });

const requiredFields = {
  db_type: protocolSchema,
  host: hostSchema,
  dbname: nameSchema.meta({ description: "The tenant's own database." }),
  username: nameSchema.meta({ description: 'The user of the database server.' }),
} as const;

const optionalFields = {
  port: portSchema.nullish().meta({ description: 'Default: 5432 for postgres, 3306 for mysql.' }),
  databases: z
    .array(nameSchema)
    .max(100)
    .nullish()
    .meta({ description: 'Other databases of that server which clients of this tenant may open.' }),
  ...writtenPoolFields,
  ...writtenPartFields,
} as const;

/** So that an answer can be edited and sent back whole. */
const readOnlyFields = {
  password_source: ignored,
  effective: ignored,
  origin: ignored,
  version: ignored,
  created_at: ignored,
  updated_at: ignored,
  stats: ignored,
  state: ignored,
  canary: ignored,
  on_proxies: ignored,
  progress: ignored,
  applied: ignored,
} as const;

/** A tenant in the config file: its id is the key it stands under. */
export const tenantInFileSchema = z.strictObject({
  ...requiredFields,
  password: passwordSchema,
  ...optionalFields,
  adopt: z.boolean().nullish().meta({
    description: 'true: the file takes the tenant over if the API has registered it.',
  }),
});

export const tenantCreateSchema = z.strictObject({
  id: idSchema,
  ...requiredFields,
  password: passwordSchema,
  ...optionalFields,
  ...readOnlyFields,
});

/** Everything that is not given goes back to its default, except the password: it is kept. */
export const tenantReplaceSchema = z.strictObject({
  id: idSchema.optional(),
  ...requiredFields,
  password: passwordSchema.optional(),
  ...optionalFields,
  ...readOnlyFields,
});

/** What is not given stays; null goes back to the default. */
export const tenantPatchSchema = z.strictObject({
  id: idSchema.optional(),
  db_type: requiredFields.db_type.optional(),
  host: requiredFields.host.optional(),
  dbname: requiredFields.dbname.optional(),
  username: requiredFields.username.optional(),
  password: passwordSchema.optional(),
  ...optionalFields,
  ...readOnlyFields,
});

/** Pool settings for all tenants that do not set their own. */
export const poolDefaultsSchema = z.strictObject(writtenPoolFields);

export type TenantInFile = Readonly<z.infer<typeof tenantInFileSchema>>;
export type TenantCreate = Readonly<z.infer<typeof tenantCreateSchema>>;
export type TenantReplace = Readonly<z.infer<typeof tenantReplaceSchema>>;
export type TenantPatch = Readonly<z.infer<typeof tenantPatchSchema>>;
export type PoolDefaults = Readonly<z.infer<typeof poolDefaultsSchema>>;

/** A tenant's settings as an answer gives them; null where the default holds. */
export const tenantFieldsSchema = z.strictObject({
  id: z.string(),
  db_type: protocolSchema,
  host: z.string(),
  port: portSchema,
  dbname: z.string(),
  databases: z.array(z.string()),
  username: z.string(),
  password_source: z
    .string()
    .meta({ description: '"sealed", or the reference: `${NAME}` or `file:/path`.' }),
  ...ownPoolFields,
  ...partAnswerFields,
});
export type TenantFields = Readonly<z.infer<typeof tenantFieldsSchema>>;

const fieldsOfAnswer = z.object(tenantFieldsSchema.shape);

/** The settings in an answer, without what else is told with them. @throws ZodError */
export function readTenantFields(answer: unknown): TenantFields {
  return fieldsOfAnswer.parse(answer);
}
