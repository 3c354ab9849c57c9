/**
 * What can have happened to a tenant. Stored for ever: add fields or types, never change a meaning.
 */
import { z } from 'zod';
import { CANARY_PROXIES_MAX } from '@dbbouncer/shared/contract/canary-limits.ts';
import { poolChangesSchema } from '@dbbouncer/shared/contract/pool-settings.ts';
import { canarySchema, tenantConfigSchema } from '@dbbouncer/shared/contract/routing-config.ts';
import { secretSchema } from '@dbbouncer/shared/contract/secret.ts';
import { partChangeFields } from '@dbbouncer/shared/contract/tenant-parts.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';

export type PoolChanges = Readonly<z.infer<typeof poolChangesSchema>>;

/** Only the fields that changed; a part of the tenant that is `null` was taken away. */
export const tenantChangesSchema = tenantConfigSchema
  .pick({ host: true, port: true, database: true, databases: true, username: true })
  .partial()
  .extend({ ...partChangeFields, pool: poolChangesSchema.optional() });
export type TenantChanges = Readonly<z.infer<typeof tenantChangesSchema>>;

/**
 * Who manages the tenant: the config file removes what vanished from it, and only what it
 * registered.
 */
export const tenantOriginSchema = z.enum(['api', 'file']);
export type TenantOrigin = z.infer<typeof tenantOriginSchema>;

/** Why a change that some proxies tried holds for none of them any more. */
export const canaryCauseSchema = z.enum([
  'aborted',
  'overruled',
  'errors',
  'dial_failures',
  'rejected',
  'not_applied',
  'proxy_lost',
  'no_evidence',
  'contradicted',
]);
export type CanaryCause = z.infer<typeof canaryCauseSchema>;

/** Proxies whose counts are kept: those that try the change, and as many of the others. */
export const COUNTED_BEFORE_MAX = 2 * CANARY_PROXIES_MAX;

const count = z.int().min(0);

/**
 * What a proxy had counted of the tenant when a canary began: what it says later is held against
 * it. Without counts: it did not tell.
 */
export const countedBeforeSchema = z.strictObject({
  proxy: z.string(),
  startedAt: z.string(),
  queries: count.optional(),
  errors: count.optional(),
});
export type CountedBefore = Readonly<z.infer<typeof countedBeforeSchema>>;

/** The whole tenant as it is from now on, and where in the log it was so before. */
const broughtBack = { tenant: tenantConfigSchema, to: z.int().min(1) };

/** An event that says all it has to say with its type. */
function bare<const Type extends string>(type: Type) {
  return z.strictObject({ type: z.literal(type), data: z.strictObject({}) });
}

export const tenantEventSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('TenantRegistered'),
    // Before there were config files, nothing said who registered a tenant: the API did.
    data: z.strictObject({
      tenant: tenantConfigSchema,
      origin: tenantOriginSchema.default('api'),
    }),
  }),
  z.strictObject({
    type: z.literal('TenantUpdated'),
    data: z.strictObject({ changes: tenantChangesSchema }),
  }),
  z.strictObject({
    type: z.literal('TenantCredentialsChanged'),
    data: z.strictObject({ password: secretSchema }),
  }),
  bare('TenantPaused'),
  bare('TenantResumed'),
  bare('TenantDrained'),
  bare('TenantReconnected'),
  bare('TenantClientsKilled'),
  bare('TenantRemoved'),
  /** From now on the config file manages it. */
  bare('TenantAdopted'),
  /** Its settings are those of an earlier position; whoever manages it still does. */
  z.strictObject({ type: z.literal('TenantRolledBack'), data: z.strictObject(broughtBack) }),
  /** It was removed, and is there again. */
  z.strictObject({
    type: z.literal('TenantRestored'),
    data: z.strictObject({ ...broughtBack, origin: tenantOriginSchema }),
  }),
  /** Some proxies serve other settings from now on, to try them. */
  z.strictObject({
    type: z.literal('CanaryStarted'),
    data: z.strictObject({
      canary: canarySchema,
      before: z.array(countedBeforeSchema).max(COUNTED_BEFORE_MAX),
    }),
  }),
  /** All proxies serve these settings from now on. */
  bare('CanaryPromoted'),
  /** All proxies serve the settings of before. */
  z.strictObject({
    type: z.literal('CanaryRolledBack'),
    data: z.strictObject({ cause: canaryCauseSchema }),
  }),
]);
export type TenantEvent = Readonly<z.infer<typeof tenantEventSchema>>;

const STREAM_PREFIX = 'tenant/';

export function tenantStream(id: string): string {
  return STREAM_PREFIX + tenantKey(id);
}

/** The tenant key a stream is about, or nothing when it is not a tenant's. */
export function tenantKeyOfStream(stream: string): string | undefined {
  return stream.startsWith(STREAM_PREFIX) ? stream.slice(STREAM_PREFIX.length) : undefined;
}
