/**
 * The proxy, put together: the only file of the data plane that names every part.
 * Owns: the order of start and stop. Leaves: what each part does to its own file.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { ConfigFeed } from './config-feed/feed.ts';
import { DiskCopy } from './config-feed/disk-copy.ts';
import { drain } from './drain.ts';
import { takeIdentity } from './identity/proxy-identity.ts';
import { TcpListener } from './listener/tcp-listener.ts';
import { Janitor } from './pool/janitor.ts';
import { Pools } from './pool/pools.ts';
import { MockSecret } from './routing/mock-secret.ts';
import { Router } from './routing/router.ts';
import { CancelRegistry } from './session/postgres/cancel.ts';
import { Leases } from './session/postgres/leases.ts';
import { servePostgresClient } from './session/postgres/login.ts';
import type { SessionServices } from './session/postgres/services.ts';
import { PostgresTargets } from './session/postgres/targets.ts';
import { endRemovedTenants } from './session/removed-tenants.ts';
import { SessionRegistry } from './session/session.ts';
import { Metrics } from './telemetry/metrics.ts';
import { PoolTally } from './telemetry/pool-tally.ts';
import { Reporter } from './telemetry/reporter.ts';
import { SessionTally } from './telemetry/session-tally.ts';
import { startTelemetryServer } from './telemetry/http.ts';
import type { Readiness } from './telemetry/http.ts';
import { CredentialStore } from './upstream/credentials.ts';
import type { PostgresBackend } from './upstream/postgres-backend.ts';

export interface ProxyDependencies {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** Environment variables that tenants' passwords may refer to. */
  readonly readEnv: ReadEnv;
  readonly version: string;
}

export interface RunningProxy {
  readonly proxyId: ProxyId;
  readonly postgresPort: number;
  readonly metricsPort: number;
  /** Resolves when there is a config to serve. */
  readonly whenReady: Promise<void>;
  /** Lets transactions finish, up to `shutdownTimeoutMs`, then ends what is left. Idempotent. */
  stop(): Promise<void>;
}

/** @throws AppError SETTINGS_INVALID when a port, folder or key cannot be used; nothing runs then */
export async function startProxy(
  settings: Settings,
  dependencies: ProxyDependencies,
): Promise<RunningProxy> {
  const identity = takeIdentity(settings.dataDir, settings.proxyId);
  const parts = assemble(settings, dependencies, identity.proxyId, identity.dir);
  try {
    await parts.open();
  } catch (error) {
    await parts.close(0);
    identity.release();
    throw error;
  }
  let stopping: Promise<void> | undefined;
  return {
    proxyId: identity.proxyId,
    postgresPort: parts.postgresPort(),
    metricsPort: parts.metricsPort(),
    whenReady: parts.feed.whenReady(),
    stop: () =>
      (stopping ??= parts.close(settings.shutdownTimeoutMs).finally(() => identity.release())),
  };
}

type Phase = 'starting' | 'serving' | 'draining';

function assemble(
  settings: Settings,
  { bus, clock, log: rootLog, readEnv, version }: ProxyDependencies,
  proxyId: ProxyId,
  dir: string,
) {
  const log = rootLog.child({ proxy: proxyId });
  const { dataDir, masterKey } = settings;
  const keyring = new Keyring(openKeySource({ dataDir, masterKey, whenAbsent: 'wait' }), readEnv);
  const router = new Router(log);
  const feed = new ConfigFeed({ bus, router, clock, log, disk: new DiskCopy({ dir, clock, log }) });
  const pools = new Pools<PostgresBackend>({ clock, log });
  const registry = new SessionRegistry();
  const tally = { pools: new PoolTally(() => pools), sessions: new SessionTally() };
  const clients = () => registry.size;
  const metrics = new Metrics({ ...tally, clients, feed: () => feed.status });
  const reporter = new Reporter({
    proxy: proxyId,
    version,
    bus,
    clock,
    feed,
    pools: tally.pools,
    clients,
  });
  const janitor = new Janitor(clock, [pools]);
  const services = sessionServices({
    settings,
    router,
    pools,
    registry,
    keyring,
    clock,
    log,
    proxyId,
    meter: tally.sessions,
  });
  endRemovedTenants(router, registry, (tenant) => metrics.forget(tenant));

  let phase: Phase = 'starting';
  let listener: TcpListener | undefined;
  let telemetry: Awaited<ReturnType<typeof startTelemetryServer>> | undefined;
  const readiness = (): Readiness => readinessOf(phase, feed.status.source);

  return {
    feed,
    postgresPort: () => listener?.address.port ?? 0,
    metricsPort: () => telemetry?.port ?? 0,
    async open(): Promise<void> {
      const { host, metricsPort, postgresPort } = settings;
      telemetry = await startTelemetryServer({
        host,
        port: metricsPort,
        readiness,
        metrics: () => metrics.page(),
        log,
      });
      listener = await TcpListener.listen({
        host,
        port: postgresPort,
        portSetting: '--postgres-port',
        log,
        serve: (socket) => servePostgresClient(socket, services),
      });
      feed.start();
      reporter.start();
      phase = 'serving';
      log.info(
        { postgresPort: listener.address.port, metricsPort: telemetry.port },
        'proxy serving',
      );
    },
    async close(timeoutMs: number): Promise<void> {
      phase = 'draining';
      listener?.stop();
      await drain({ registry, pools, clock, log, timeoutMs });
      janitor.stop();
      reporter.stop();
      await feed.stop();
      await telemetry?.close();
    },
  };
}

function readinessOf(phase: Phase, source: 'bus' | 'disk' | 'none'): Readiness {
  if (phase === 'draining') return { kind: 'not_ready', reason: 'draining' };
  if (phase === 'starting') return { kind: 'not_ready', reason: 'not_listening' };
  if (source === 'none') return { kind: 'not_ready', reason: 'no_config' };
  return { kind: 'ready' };
}

interface SessionParts {
  readonly settings: Settings;
  readonly router: Router;
  readonly pools: Pools<PostgresBackend>;
  readonly registry: SessionRegistry;
  readonly keyring: Keyring;
  readonly meter: SessionTally;
  readonly clock: Clock;
  readonly log: Logger;
  readonly proxyId: ProxyId;
}

function sessionServices(parts: SessionParts): SessionServices {
  const { settings, router, pools, registry, keyring, meter, clock, log, proxyId } = parts;
  const credentials = new CredentialStore(keyring);
  // The name under which surviving proxies find what a lost one has left behind.
  const applicationName = () => `dbb:${proxyId}:${router.current.epoch}`;
  const mockSecret = new MockSecret(() => keyring.deriveFleetSecret('mock-scram'));
  return {
    router,
    targets: new PostgresTargets({
      router,
      pools,
      meter,
      applicationName,
      credentials,
      clock,
      log,
    }),
    credentials,
    mockSecret: () => mockSecret.read(),
    registry,
    cancels: new CancelRegistry(proxyId),
    leases: new Leases(),
    meter,
    clock,
    log,
    settings: {
      clientLoginTimeoutMs: settings.clientLoginTimeoutMs,
      clientsMax: settings.maxClientConnections,
      unknownTenant: settings.unknownTenant,
      selectors: { sniSuffix: settings.sniSuffix, usernameDot: settings.usernameDot },
    },
  };
}
