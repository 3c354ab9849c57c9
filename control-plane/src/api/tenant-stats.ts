/**
 * What the API says of a tenant on the proxies: its pools and traffic, and how far its last pause,
 * drain, resume or reconnect has come. Schemas and what fills them.
 */
import { z } from 'zod';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import { operationsOf, tenantStateSchema } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { FleetReader, TenantOnProxy } from '../fleet/fleet-state.ts';
import { progressOn, sumOf } from '../fleet/tenant-parts.ts';
import type { WantedTenant } from '../fleet/tenant-parts.ts';
import type { TenantView } from '../store/read-models.ts';
import { tenantBudgetShape, toTenantBudget } from './budget-answers.ts';
import type { ApiServices } from './services.ts';
import { onProxiesSchema, pickTotals, stateOf, sumsShape, toSums, totalsShape } from './answers.ts';

export const poolShape = {
  database: z.string(),
  user: z.string().meta({ description: 'The user on the database server.' }),
  state: z.enum(['open', 'waiting_for_login', 'draining']).meta({
    description:
      'waiting_for_login: known by a SCRAM verifier alone, until a client has logged in.',
  }),
  ...totalsShape,
  longest_wait_ms: z.number(),
  failing: z.string().nullable().meta({ description: "The database's own words." }),
};

const progressOnProxySchema = z.strictObject({
  proxy: z.string(),
  state: z
    .enum(['lost', 'behind', 'unknown', 'active', 'pausing', 'paused', 'draining', 'drained'])
    .meta({
      description:
        'lost: nothing is heard of it. behind: it has not applied the last change. unknown: it' +
        ' has, and does not say how far it is.',
    }),
  done: z.boolean().meta({
    description:
      'The last change holds: no server connection left for a pause, no client either for a' +
      ' drain, no former server connection for a reconnect.',
  }),
  clients: z.int().nullable().meta({ description: 'null unless it is paused or drained.' }),
  connections: z.int(),
  former_connections: z.int().meta({ description: 'Those that are being replaced.' }),
  since: z.iso.datetime().nullable().meta({ description: 'When the proxy was told to.' }),
});

export const tenantProgressSchema = z
  .strictObject({
    state: tenantStateSchema,
    complete: z.boolean().meta({ description: 'Done on every live proxy, and none is lost.' }),
    on_proxies: onProxiesSchema,
    proxies: z.array(progressOnProxySchema),
  })
  .meta({ id: 'TenantProgress' });

export const tenantStatsSchema = z
  .strictObject({
    id: z.string(),
    ...sumsShape,
    max_connections: z.int().meta({ description: 'As it holds for this tenant.' }),
    ...tenantBudgetShape,
    state: tenantStateSchema,
    on_proxies: onProxiesSchema,
    halted: z
      .array(
        z.strictObject({
          proxy: z.string(),
          state: z.enum(['pausing', 'paused', 'draining', 'drained']),
          clients: z.int(),
          connections: z.int(),
        }),
      )
      .meta({ description: 'How far a pause or drain has come on each live proxy.' }),
    proxies: z
      .array(z.strictObject({ proxy: z.string(), ...sumsShape }))
      .meta({ description: 'The same for each live proxy that has something of the tenant.' }),
    pools: z.array(z.strictObject({ proxy: z.string(), ...poolShape })),
  })
  .meta({ id: 'TenantStats' });

export function toTenantStats(
  view: TenantView,
  defaults: PoolSettings,
  { fleet, budget }: Pick<ApiServices['core'], 'fleet' | 'budget'>,
): z.infer<typeof tenantStatsSchema> {
  const { id } = view.config;
  const settings = effectivePool({ defaults }, view.config);
  const live = fleet.tenantOnProxies(id).flatMap(({ proxy, part }) => {
    return part === undefined || proxy.status === 'lost' ? [] : { id: proxy.id, part };
  });
  return {
    id,
    ...toSums(fleet.tenantSums(id), settings),
    max_connections: settings.maxConnections,
    budget: toTenantBudget(budget, id),
    ...stateOf(view, fleet),
    halted: live.flatMap(({ id: proxy, part: { halted } }) => {
      if (halted === undefined) return [];
      const { state, clients, connections } = halted;
      return { proxy, state, clients, connections };
    }),
    proxies: live.map(({ id: proxy, part }) => ({ proxy, ...toSums(sumOf([part]), settings) })),
    pools: live.flatMap(({ id: proxy, part }) =>
      part.pools.map((pool) => ({ proxy, ...toPoolAnswer(pool) })),
    ),
  };
}

export function toPoolAnswer(pool: PoolReport) {
  return {
    database: pool.database,
    user: pool.user,
    state: pool.state ?? ('open' as const),
    ...pickTotals(pool),
    longest_wait_ms: pool.longestWaitMs,
    failing: pool.failing ?? null,
  };
}

/** As it is now. */
export function toTenantProgress(
  { config, position }: Pick<TenantView, 'config' | 'position'>,
  fleet: FleetReader,
): z.infer<typeof tenantProgressSchema> {
  const wanted = { id: config.id, state: operationsOf(config).state, position };
  const proxies = fleet.tenantOnProxies(config.id).map((one) => toProgressOn(one, wanted));
  return {
    state: wanted.state,
    complete: proxies.every(({ done }) => done),
    on_proxies: fleet.progressOf(wanted),
    proxies,
  };
}

function toProgressOn({ proxy, part }: TenantOnProxy, wanted: WantedTenant) {
  const { state, isDone, clients, connections, formerConnections, since } = progressOn(
    proxy.report,
    part,
    wanted,
  );
  const isLost = proxy.status === 'lost';
  return {
    proxy: proxy.id,
    state: isLost ? ('lost' as const) : state,
    done: isDone && !isLost,
    clients: clients ?? null,
    connections,
    former_connections: formerConnections,
    since: since ?? null,
  };
}
