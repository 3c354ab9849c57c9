/**
 * One attempt to connect to a PostgreSQL server as a tenant would that may not exist yet: as its
 * own user to its own database, TLS and init_sql included.
 * Owns: the attempt and what is asked of a server that lets us in. Leaves: the slot and the
 * deadline to probes/, dialling to connect-postgres.ts.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ProbeFinding } from '@dbbouncer/shared/contract/server-probe.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { CredentialStore } from './credentials.ts';
import { givenUp, unreachableServer } from './dial-errors.ts';
import type { PostgresBackend } from './postgres-backend.ts';
import { PostgresUpstream } from './postgres-upstream.ts';
import type { PostgresUpstreamOptions } from './postgres-upstream.ts';
import { failureOf } from './probe-stage.ts';
import { askServer } from './server-limits.ts';
import type { KnownServers } from './server-limits.ts';
import type { ServerEvents } from './upstream.ts';

export interface ProbeTools extends Pick<
  PostgresUpstreamOptions,
  'serverTls' | 'keepaliveIdleMs' | 'endpoints' | 'buffers' | 'clock'
> {
  readonly credentials: CredentialStore;
  readonly applicationName: () => string;
  readonly servers: KnownServers;
  readonly log: Logger;
}

/** An attempt that somebody asks for. */
export interface Attempt {
  readonly tenant: TenantConfig;
  /** Their times hold, as far as `signal` allows. */
  readonly settings: PoolSettings;
  /** Until `signal` ends it. */
  readonly timeoutMs: number;
  /** `closed` is called when no connection is open, and none will be. */
  readonly events: ServerEvents;
  /** With an error as its reason, which is what is told. */
  readonly signal: AbortSignal;
}

/** Never throws for what a server, a network or a config can do. Nothing is left open. */
export async function probePostgres(tools: ProbeTools, attempt: Attempt): Promise<ProbeFinding> {
  const { clock } = tools;
  const sinceMs = clock.nowMs();
  const tookMs = () => Math.round((clock.nowMs() - sinceMs) * 10) / 10;
  const upstream = upstreamOf(tools, attempt);
  const hindrance = upstream.hindrance();
  if (hindrance !== undefined) {
    attempt.events.closed();
    return { outcome: 'waiting_for_login', message: hindrance.message };
  }
  let backend: PostgresBackend | undefined;
  try {
    backend = await upstream.dial(attempt.events, attempt.signal);
    const leftMs = Math.max(1, Math.ceil(attempt.timeoutMs - (clock.nowMs() - sinceMs)));
    const server = await askAndClose(backend, attempt, leftMs);
    tools.servers.learn(attempt.tenant, server);
    return { outcome: 'reachable', server, tookMs: tookMs() };
  } catch (error) {
    if (backend === undefined) attempt.events.closed();
    return failureOf(error, tookMs());
  }
}

async function askAndClose(backend: PostgresBackend, { tenant, signal }: Attempt, leftMs: number) {
  try {
    return await askServer(backend, leftMs);
  } catch (error) {
    const cause = signal.aborted ? givenUp(signal) : error;
    throw unreachableServer({ tenant, user: tenant.username }, cause, 'limits');
  } finally {
    backend.close('probed');
  }
}

/** For one connection that is no pool's. */
export function upstreamOf(
  tools: ProbeTools,
  attempt: Pick<Attempt, 'tenant' | 'settings'>,
): PostgresUpstream {
  const { tenant } = attempt;
  const settings = { ...attempt.settings, leakDetector: 'off' as const };
  return new PostgresUpstream({
    ...tools,
    tenant,
    database: tenant.database,
    user: tenant.username,
    credential: () => tools.credentials.of(tenant, tenant.password),
    applicationName: tools.applicationName(),
    servers: undefined,
    settings: () => settings,
    log: tools.log.child({ tenant: tenant.id, probe: true }),
    onReset: () => {},
    onInspected: () => {},
    onLeak: () => {},
  });
}
