/**
 * What the tenants of one database server may open there together, beside what it lets in.
 * Owns: the sum, and the limits as proxies and probes have learned them. Leaves: what is warned of
 * to warnings.ts.
 */
import { z } from 'zod';
import { addressKey } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerAddress, ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { FleetReader, ProxyView } from '../../fleet/fleet-state.ts';
import type { ProbedAnswer } from './probe-schema.ts';
import type { Surroundings } from './surroundings.ts';

/** Servers of one write that are summed up: each is a look at all tenants. */
export const SUMMED_SERVERS_MAX = 5;

/** Tenants whose host and port are the same, as a write would leave them. */
export interface ServerBudget extends ServerAddress {
  readonly tenants: number;
  /** `max_connections` of them all. */
  readonly whole: number;
  /** The cap that is declared for it, as the write would leave it. */
  readonly declared: ServerConfig | undefined;
}

export const serverBudgetSchema = z
  .strictObject({
    host: z.string(),
    port: z.int(),
    tenants: z.int().meta({ description: 'That this key may see, and whose server it is.' }),
    proxies: z.int().meta({
      description:
        'Live ones. max_connections holds over all of them together, but for those that are told' +
        ' to heed it by themselves (fleet_budget: per_proxy), or are of a version that does.',
    }),
    budget: z.int().meta({
      description:
        'Connections that these tenants may open there, on all live proxies together; proxies' +
        ' that share the budget of their fleet heed what is declared.',
    }),
    declared_as: z.string().nullable().meta({ description: 'Its name in /servers, or null.' }),
    declared_max_connections: z.int().nullable().meta({ description: 'The cap it has there.' }),
    max_connections: z.int().nullable().meta({
      description: 'What the server lets in, as it told a proxy; null: none has asked it yet.',
    }),
    reserved_connections: z.int().nullable(),
  })
  .meta({ id: 'ServerBudget' });
export type ServerBudgetAnswer = Readonly<z.infer<typeof serverBudgetSchema>>;

export interface ServerBudgets {
  readonly summed: readonly ServerBudget[];
  /** Servers beyond the first ones. */
  readonly omitted: number;
}

/** Of `servers`, each once. */
export function serverBudgets(
  servers: readonly ServerAddress[],
  { tenants, reach }: Surroundings,
): ServerBudgets {
  const byKey = new Map(servers.map((server) => [addressKey(server), server] as const));
  const summed = [...byKey.values()].slice(0, SUMMED_SERVERS_MAX).map(({ host, port }) => {
    const { tenants: count, maxConnections } = tenants.budgetOf({ host, port, reach });
    const declared = tenants.servers.at({ host, port })?.server;
    return { host, port, tenants: count, whole: maxConnections, declared };
  });
  return { summed, omitted: byKey.size - summed.length };
}

/** With the limits that this write's own probes have found, else those of the reports. */
export function toBudgetAnswer(
  { host, port, tenants, whole, declared }: ServerBudget,
  fleet: FleetReader,
  probed: readonly ProbedAnswer[],
): ServerBudgetAnswer {
  const live = fleet.proxies().filter(({ status }) => status === 'live');
  const key = addressKey({ host, port });
  const own = probed.find((one) => one.server !== null && addressKey(one) === key)?.server;
  const reported = live
    .flatMap(({ report }) => report.servers ?? [])
    .find((server) => addressKey(server) === key)?.limits;
  return {
    host,
    port,
    tenants,
    proxies: live.length,
    budget: connectionsOf(whole, declared?.maxConnections, live),
    declared_as: declared?.name ?? null,
    declared_max_connections: declared?.maxConnections ?? null,
    max_connections: own?.max_connections ?? reported?.maxConnections ?? null,
    reserved_connections: own?.reserved_connections ?? reported?.reservedConnections ?? null,
  };
}

/**
 * How many connections proxies may open together of a `max_connections` or a sum of them: those
 * that share the budget of their fleet all of it once, each other one all of it too.
 * @param cap of the declared server, which those that share the budget heed
 */
export function connectionsOf(
  whole: number,
  cap: number | undefined,
  live: readonly ProxyView[],
): number {
  const alone = live.filter(({ report }) => report.budget !== 'of_fleet').length;
  const together = alone < live.length || live.length === 0 ? 1 : 0;
  return whole * alone + together * Math.min(whole, cap ?? Infinity);
}
