/**
 * What server connections are opened with, whatever they are for, and who opens one to see whether
 * that is possible.
 * Owns: that clients' connections and probes are made in the same way. Leaves: opening them to
 * upstream/, when to probe to probes/.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import type { BufferPool } from './buffers/buffer-pool.ts';
import type { Pools } from './pool/pools.ts';
import { Probes } from './probes/probes.ts';
import type { Router } from './routing/router.ts';
import { PostgresLooker } from './session/postgres/looker.ts';
import { CredentialStore } from './upstream/credentials.ts';
import type { PostgresBackend } from './upstream/postgres-backend.ts';
import { EndpointsHealth } from './upstream/endpoint-health.ts';
import { probePostgres, upstreamOf } from './upstream/probe-postgres.ts';
import { KnownServers } from './upstream/server-limits.ts';
import { ServerTlsStore } from './upstream/server-tls.ts';

interface Parts {
  readonly proxyId: ProxyId;
  /** Which start of this proxy it is. */
  readonly life: number;
  readonly keyring: Keyring;
  readonly router: Router;
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
}

export type ServerSide = ReturnType<typeof serverSideOf>;

export function serverSideOf(
  { tcpKeepaliveIdleMs, serverTlsMode, serverTlsCaFile }: Settings,
  { proxyId, life, keyring, router, buffers, clock, log }: Parts,
) {
  return {
    credentials: new CredentialStore(keyring),
    // The name under which surviving proxies find what a lost one has left behind.
    applicationName: () => `dbb:${proxyId}:${life}`,
    serverTls: new ServerTlsStore(keyring, { mode: serverTlsMode, caFile: serverTlsCaFile }),
    servers: new KnownServers(clock),
    endpoints: new EndpointsHealth(clock),
    keepaliveIdleMs: tcpKeepaliveIdleMs,
    buffers,
    router,
    clock,
    log,
  };
}

/** Looks for what others have left on database servers. */
export function lookerOf(serverSide: ServerSide, pools: Pools<PostgresBackend>): PostgresLooker {
  const { router, clock } = serverSide;
  return new PostgresLooker({
    pools,
    router,
    clock,
    open: async ({ tenant, events, signal }) => {
      const settings = router.current.poolSettings(tenant);
      return await upstreamOf(serverSide, { tenant, settings }).dial(events, signal);
    },
  });
}

export function probesOf(
  serverSide: ServerSide,
  parts: {
    readonly bus: Bus;
    readonly proxy: ProxyId;
    readonly pools: Pools<PostgresBackend>;
  },
): Probes {
  const { router, clock } = serverSide;
  const tryToConnect = { postgres: probePostgres.bind(undefined, serverSide) };
  return new Probes({ ...parts, router, clock, tryToConnect });
}
