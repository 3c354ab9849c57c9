/**
 * `?probe=true`: a live proxy tries whether it could connect to the servers of the tenants that a
 * write sets, before anything is written.
 * Owns: which tenants are tried, what refuses the write. Leaves: asking proxies to fleet/, the form
 * of what is told to probe-schema.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import type { FastifyRequest } from 'fastify';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Probed, Probes } from '../../fleet/probes.ts';
import type { TenantReader } from '../../store/read-models.ts';
import { requireScope } from '../access.ts';
import { ProbeRefused } from '../api-errors.ts';
import type { ProbedAnswer } from './probe-schema.ts';

/** Tenants of one write that are tried: each costs a connection. */
export const PROBED_TENANTS_MAX = 5;

const NOTHING = Object.freeze({
  proxy: null,
  stage: null,
  reason: null,
  message: null,
  hint: null,
  sql_state: null,
  took_ms: null,
  server: null,
});

/** One answer for each tenant, in their order. Takes some 12 s at most. */
export async function probeAll(
  probes: Pick<Probes, 'probe'>,
  tenants: readonly TenantConfig[],
  defaults: PoolSettings,
): Promise<readonly ProbedAnswer[]> {
  return Promise.all(
    tenants.map(async (tenant, index) => {
      const { id, host, port } = tenant;
      const told = { ...NOTHING, tenant: id, host, port };
      if (index >= PROBED_TENANTS_MAX) {
        const message = `A write has at most ${PROBED_TENANTS_MAX} tenants probed.`;
        return { ...told, outcome: 'not_probed', reason: 'too_many_tenants', message } as const;
      }
      const probed = await probes.probe(tenant, effectivePool({ defaults }, tenant));
      return { ...told, ...toAnswer(probed) };
    }),
  );
}

/**
 * A server that is tried hears the password, and no event tells of it: one that the caller did not
 * give goes nowhere else than where the tenant's clients make it go, but for an admin.
 * @throws SCOPE_MISSING
 */
export function requireTryable(
  request: FastifyRequest,
  tenants: readonly TenantConfig[],
  known: TenantReader,
): void {
  for (const tenant of tenants) {
    const present = known.getTenant(tenant.id)?.config;
    if (present === undefined || !isDeepStrictEqual(present.password, tenant.password)) continue;
    const isElsewhere = PLACE.some((name) => !isDeepStrictEqual(present[name], tenant[name]));
    if (isElsewhere) requireScope(request, 'admin', NOT_WITHOUT_PASSWORD);
  }
}

/** What decides which server hears a password, and whether others can. */
const PLACE = ['protocol', 'host', 'port', 'serverTls'] as const;
const NOT_WITHOUT_PASSWORD =
  'The password that is kept is not sent to another server for trying it: give the password as' +
  ' well, or leave probe=true out.';

/** @throws PROBE_FAILED, PROBE_UNAVAILABLE unless every one is reachable or waits for a login. */
export function requireReachable(probed: readonly ProbedAnswer[]): void {
  const bad =
    probed.find(({ outcome }) => outcome === 'failed') ??
    probed.find(({ outcome }) => outcome === 'not_probed');
  if (bad === undefined) return;
  throw new ProbeRefused(bad.outcome === 'failed' ? 'PROBE_FAILED' : 'PROBE_UNAVAILABLE', {
    message: `${describeProbed(bad)} Nothing was changed.`,
    hint: bad.hint ?? 'Write without probe=true, or with force=true where the route has it.',
    probed,
  });
}

/** In a sentence. */
export function describeProbed({ tenant, host, port, stage, message }: ProbedAnswer): string {
  const where = `The server ${host}:${port} of tenant "${tenant}"`;
  const words = (message ?? '').replace(/[.]?$/, '.');
  return stage === null
    ? `${where} was not probed: ${words}`
    : `${where} cannot be used; it failed at ${stage}: ${words}`;
}

function toAnswer(probed: Probed) {
  const { outcome, proxy = null } = probed;
  switch (outcome) {
    case 'reachable': {
      const { version, maxConnections, reservedConnections } = probed.server;
      const { roleConnections, databaseConnections } = probed.server;
      const server = {
        version,
        max_connections: maxConnections,
        reserved_connections: reservedConnections,
        role_connections: roleConnections,
        database_connections: databaseConnections,
      };
      return { outcome, proxy, took_ms: probed.tookMs, server };
    }
    case 'failed': {
      const { stage, message, hint = null, sqlState = null, tookMs } = probed;
      return { outcome, proxy, stage, message, hint, sql_state: sqlState, took_ms: tookMs };
    }
    case 'waiting_for_login':
      return { outcome, proxy, message: probed.message };
    case 'not_probed':
      return { outcome, proxy, reason: probed.reason, message: probed.message };
    default:
      return unreachable(probed);
  }
}
