/**
 * What changed between two positions of the event log, as proxies are told it, and how it is
 * applied. The publisher asserts with the same `applyDelta` that its delta rebuilds the config it
 * holds.
 */
import { z } from 'zod';
import { unreachable } from '../kernel/assert.ts';
import { isTenantId, tenantKey } from '../kernel/ids.ts';
import type { TenantId } from '../kernel/ids.ts';
import { serverConfigSchema, serverKey, withServers } from './database-servers.ts';
import type { ServerConfig } from './database-servers.ts';
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
  z.strictObject({ kind: z.literal('server_set'), server: serverConfigSchema }),
  z.strictObject({
    kind: z.literal('server_removed'),
    name: serverConfigSchema.shape.name,
  }),
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
  return { ...changed(config, delta.changes), epoch: delta.epoch, position: delta.to };
}

function changed(config: RoutingConfig, changes: ConfigDelta['changes']): RoutingConfig {
  let { defaults } = config;
  const servers: [string, ServerConfig | undefined][] = [];
  const tenants: [string, TenantConfig | undefined][] = [];
  for (const change of changes) {
    switch (change.kind) {
      case 'tenant_set':
        tenants.push([tenantKey(change.tenant.id), change.tenant]);
        break;
      case 'tenant_removed':
        tenants.push([tenantKey(change.id), undefined]);
        break;
      case 'defaults_set':
        ({ defaults } = change);
        break;
      case 'server_set':
        servers.push([serverKey(change.server.name), change.server]);
        break;
      case 'server_removed':
        servers.push([serverKey(change.name), undefined]);
        break;
      default:
        unreachable(change);
    }
  }
  return {
    ...config,
    defaults,
    servers: withServers(config.servers, servers),
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
