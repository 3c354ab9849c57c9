/**
 * What changed between two positions of the event log, as proxies are told it, and how it is
 * applied. The publisher asserts with the same `applyDelta` that its delta rebuilds the config it
 * holds.
 */
import { z } from 'zod';
import { isTenantId, tenantKey } from '../kernel/ids.ts';
import type { TenantId } from '../kernel/ids.ts';
import { poolSettingsSchema } from './pool-settings.ts';
import { tenantConfigSchema } from './routing-config.ts';
import type { RoutingConfig, TenantConfig } from './routing-config.ts';

/**
 * What one delta may hold: below what the bus carries, above what one event can change of a tenant.
 * What belongs together must fit, to be one swap on each proxy.
 */
export const DELTA_LIMITS = Object.freeze({ eventsMax: 500, bytesMax: 768 * 1024 });

export const configChangeSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('tenant_set'), tenant: tenantConfigSchema }),
  z.strictObject({
    kind: z.literal('tenant_removed'),
    id: z.custom<TenantId>((value) => typeof value === 'string' && isTenantId(value)),
  }),
  z.strictObject({ kind: z.literal('defaults_set'), defaults: poolSettingsSchema }),
]);
export type ConfigChange = Readonly<z.infer<typeof configChangeSchema>>;

export const configDeltaSchema = z.strictObject({
  epoch: z.int().min(0),
  /** The config it applies to is at `from`; afterwards it is at `to`. A delta may be empty. */
  from: z.int().min(0),
  to: z.int().min(1),
  changes: z.array(configChangeSchema),
});
export type ConfigDelta = Readonly<z.infer<typeof configDeltaSchema>>;

/**
 * `duplicate`: already contained. `gap`: something before it is missing. `stale`: from a deposed
 * term.
 */
export type DeltaRefusal = 'duplicate' | 'gap' | 'stale';

/** The config after `delta`, or why it does not apply; never a guess. */
export function applyDelta(
  config: RoutingConfig,
  delta: ConfigDelta,
): RoutingConfig | DeltaRefusal {
  if (delta.epoch < config.epoch) return 'stale';
  if (delta.to <= config.position) return 'duplicate';
  if (delta.from !== config.position) return 'gap';
  let defaults = config.defaults;
  const tenants: [string, TenantConfig | undefined][] = [];
  for (const change of delta.changes) {
    if (change.kind === 'tenant_set') tenants.push([tenantKey(change.tenant.id), change.tenant]);
    else if (change.kind === 'tenant_removed') tenants.push([tenantKey(change.id), undefined]);
    else defaults = change.defaults;
  }
  return {
    epoch: delta.epoch,
    position: delta.to,
    defaults,
    tenants: config.tenants.with(tenants),
  };
}

export function encodeDelta(delta: ConfigDelta): string {
  return JSON.stringify(delta);
}

/** @throws ZodError or SyntaxError when the text is not a delta. */
export function decodeDelta(text: string): ConfigDelta {
  return configDeltaSchema.parse(JSON.parse(text));
}
