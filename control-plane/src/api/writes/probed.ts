/**
 * `?probe=true`: a live proxy tries whether it could connect to the servers of the tenants that a
 * write sets, before anything is written.
 * Owns: which tenants are tried, what refuses the write. Leaves: asking proxies to fleet/, the form
 * of what is told to probe-schema.ts.
 */
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Probed, Probes } from '../../fleet/probes.ts';
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
