/**
 * What the tenants of one database server may open there together, beside what it lets in.
 * Owns: the sum, and the limits as proxies and probes have learned them. Leaves: what is warned of
 * to warnings.ts.
 */
import { z } from 'zod';
import type { FleetReader } from '../../fleet/fleet-state.ts';
import type { ProbedAnswer } from './probe-schema.ts';
import type { Surroundings } from './surroundings.ts';

/** Servers of one write that are summed up: each is a look at all tenants. */
export const SUMMED_SERVERS_MAX = 5;

export interface Server {
  readonly host: string;
  readonly port: number;
}

/** Tenants whose host and port are the same, as a write would leave them. */
export interface ServerBudget extends Server {
  readonly tenants: number;
  /** `max_connections` of them all, which hold on each proxy. */
  readonly perProxy: number;
}

export const serverBudgetSchema = z
  .strictObject({
    host: z.string(),
    port: z.int(),
    tenants: z.int().meta({ description: 'That this key may see, and whose server it is.' }),
    proxies: z.int().meta({ description: 'Live ones; max_connections holds on each.' }),
    budget: z.int().meta({
      description: 'Connections that these tenants may open there, on all live proxies together.',
    }),
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
  servers: readonly Server[],
  { tenants, reach }: Surroundings,
): ServerBudgets {
  const byKey = new Map(servers.map((server) => [serverKey(server), server] as const));
  const summed = [...byKey.values()].slice(0, SUMMED_SERVERS_MAX).map(({ host, port }) => {
    const { tenants: count, maxConnections } = tenants.budgetOf({ host, port, reach });
    return { host, port, tenants: count, perProxy: maxConnections };
  });
  return { summed, omitted: byKey.size - summed.length };
}

/** With the limits that this write's own probes have found, else those of the reports. */
export function toBudgetAnswer(
  { host, port, tenants, perProxy }: ServerBudget,
  fleet: FleetReader,
  probed: readonly ProbedAnswer[],
): ServerBudgetAnswer {
  const live = fleet.proxies().filter(({ status }) => status === 'live');
  const key = serverKey({ host, port });
  const own = probed.find((one) => one.server !== null && serverKey(one) === key)?.server;
  const reported = live
    .flatMap(({ report }) => report.servers ?? [])
    .find((server) => serverKey(server) === key)?.limits;
  return {
    host,
    port,
    tenants,
    proxies: live.length,
    budget: perProxy * Math.max(1, live.length),
    max_connections: own?.max_connections ?? reported?.maxConnections ?? null,
    reserved_connections: own?.reserved_connections ?? reported?.reservedConnections ?? null,
  };
}

function serverKey({ host, port }: Server): string {
  return `${host.toLowerCase()}:${port}`;
}
