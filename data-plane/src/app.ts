/**
 * The proxy, put together: the only file of the data plane that names every part.
 * Owns: which parts know each other.
 * Leaves: the order of start and stop to life-cycle.ts, what each part does to its own file.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { REPORT_INTERVAL_MS } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import type { BusReach } from '@dbbouncer/shared/secrets/config-keys.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { budgetSideOf } from './budget-side.ts';
import type { BudgetSide } from './budget-side.ts';
import { ConfigFeed } from './config-feed/feed.ts';
import { takeIdentity, takeWorkerIdentity } from './identity/proxy-identity.ts';
import type { ProxyIdentity } from './identity/proxy-identity.ts';
import { LifeCycle } from './life-cycle.ts';
import { listenForClients } from './client-ports.ts';
import { bufferPool, busyPoll, clientsServed, clientTls, throttles } from './client-side.ts';
import type { InheritedPorts } from './client-ports.ts';
import { DialGate } from './pool/dial-gate.ts';
import { Janitor } from './pool/janitor.ts';
import { Pools } from './pool/pools.ts';
import { CancelExchange } from './remote/cancel-exchange.ts';
import { ClientDesk } from './remote/client-desk.ts';
import type { ClientDeskOptions } from './remote/client-desk.ts';
import { MockSecret } from './routing/mock-secret.ts';
import { Router } from './routing/router.ts';
import { Accounts } from './session/postgres/auth/account.ts';
import { Lookups } from './session/postgres/auth/lookups.ts';
import { CancelRegistry } from './session/postgres/cancel.ts';
import { Leases } from './session/postgres/leases.ts';
import type { SessionServices } from './session/postgres/services.ts';
import { PostgresTargets } from './session/postgres/targets.ts';
import { lookerOf, probesOf, serverSideOf } from './server-side.ts';
import type { ServerSide } from './server-side.ts';
import { endForbiddenSessions } from './session/access-changes.ts';
import { ClientLimits } from './session/client-limits.ts';
import { HaltedTenants } from './session/halted-tenants.ts';
import { SessionRegistry } from './session/session.ts';
import { obeyTenantChanges } from './session/tenant-changes.ts';
import { TimeLimits } from './session/time-limits.ts';
import type { MetricFamily } from './telemetry/metric-values.ts';
import { Metrics } from './telemetry/metrics.ts';
import { PoolTally } from './telemetry/pool-tally.ts';
import { Reporter } from './telemetry/reporter.ts';
import type { ReporterOptions } from './telemetry/reporter.ts';
import { SessionTally } from './telemetry/session-tally.ts';
import { ActivityReader } from './telemetry/tenant-activity.ts';
import { ProcessVitals } from './telemetry/vitals.ts';
import { startTelemetryServer } from './telemetry/http.ts';
import type { Readiness } from './telemetry/http.ts';
import { CertificateUsers } from './tls/certificate-users.ts';
import type { ClientTls } from './tls/client-tls.ts';
import { trustOf } from './trust.ts';
import type { PostgresBackend } from './upstream/postgres-backend.ts';
import { ServerCancels } from './upstream/server-cancels.ts';

export interface ProxyDependencies {
  readonly bus: Bus;
  /** Whether others could write to the bus. Default: `shared`, and config must be signed. */
  readonly busReach?: BusReach;
  readonly clock: Clock;
  readonly log: Logger;
  /** Environment variables that tenants' passwords may refer to. */
  readonly readEnv: ReadEnv;
  readonly version: string;
  /** Default: as often as control planes expect it. */
  readonly reportIntervalMs?: number;
  /** Of a worker: it listens on what it was born with, and its supervisor shows its metrics. */
  readonly worker?: WorkerRole;
}

export interface WorkerRole {
  /** The id of the supervisor, which that of the worker begins with. */
  readonly family: ProxyId;
  readonly ports: InheritedPorts;
}

export interface RunningProxy {
  readonly proxyId: ProxyId;
  readonly postgresPort: number;
  /** 0 of a worker. */
  readonly metricsPort: number;
  /** Resolves when there is a config to serve. */
  readonly whenReady: Promise<void>;
  /** How it is now. */
  condition(): ProxyCondition;
  /** What it counts, to be merged with that of other workers. */
  metrics(): Promise<readonly MetricFamily[]>;
  /**
   * Lets transactions finish, up to `shutdownTimeoutMs`, then ends what is left. Idempotent.
   * @param graceMs how long clients are not told yet; default 0
   */
  stop(graceMs?: number): Promise<void>;
}

export interface ProxyCondition {
  readonly readiness: Readiness;
  readonly clients: number;
  readonly appliedPosition: Position;
}

/**
 * Serves until it is stopped; nothing runs when it throws.
 * @throws AppError SETTINGS_INVALID when a port, folder or key cannot be used
 */
export async function startProxy(
  settings: Settings,
  dependencies: ProxyDependencies,
): Promise<RunningProxy> {
  const identity = identityFor(settings, dependencies.worker);
  const { proxyId } = identity;
  const log = dependencies.log.child({ proxy: proxyId });
  try {
    const parts = makeParts(settings, { ...dependencies, log }, identity);
    const lifeCycle = new LifeCycle(parts);
    const { listenPort: postgresPort, metricsPort } = await lifeCycle.open();
    log.info({ postgresPort, metricsPort }, 'proxy serving');
    const timeoutMs = settings.shutdownTimeoutMs;
    let stopping: Promise<void> | undefined;
    return {
      proxyId,
      postgresPort,
      metricsPort,
      whenReady: parts.feed.whenReady(),
      condition: () => ({
        readiness: lifeCycle.readiness,
        clients: parts.registry.size,
        appliedPosition: parts.feed.status.appliedPosition,
      }),
      metrics: () => parts.metrics.families(),
      stop: (graceMs = 0) =>
        (stopping ??= lifeCycle.close({ timeoutMs, graceMs }).finally(() => identity.release())),
    };
  } catch (error) {
    identity.release();
    throw error;
  }
}

function identityFor({ dataDir, proxyId }: Settings, worker?: WorkerRole): ProxyIdentity {
  if (worker === undefined) return takeIdentity(dataDir, proxyId);
  return takeWorkerIdentity(dataDir, worker.family);
}

/** Everything the proxy is made of, knowing each other; no port is open yet. */
function makeParts(settings: Settings, dependencies: ProxyDependencies, identity: ProxyIdentity) {
  const { proxyId } = identity;
  const { bus, clock, log, worker } = dependencies;
  const { keyring, verifier, seal } = trustOf(settings, dependencies);
  const router = new Router(log, proxyId);
  const budget = budgetSideOf(settings, { bus, router, seal, clock, log, identity });
  const feed = new ConfigFeed({ bus, router, verifier, clock, log, disk: budget.disk });
  const pools = makePools(settings, budget, { clock, log });
  const registry = new SessionRegistry();
  const clients = () => registry.size;
  const clientLimits = new ClientLimits(clientsServed(settings.maxClientConnections, log));
  const buffers = bufferPool(settings);
  const poolTally = new PoolTally(() => pools);
  const meter = new SessionTally();
  const tls = clientTls(settings, clock, log);
  const metrics = new Metrics({
    pools: poolTally,
    buffers,
    budget: budget.fleet,
    sessions: meter,
    clients,
    clientLimits,
    certificateNotAfterMs: () => tls?.notAfterMs,
    feed: () => feed.status,
  });
  const timeLimits = new TimeLimits({ registry, router, clock });
  const halted = obeySwaps(router, registry, metrics, clock);
  const common = { proxyId, keyring, router, clock, log };
  const serverSide = serverSideOf(settings, { ...common, buffers, life: budget.life });
  budget.lookWith(lookerOf(serverSide, pools));
  const services = sessionServices({
    hasConfig: () => feed.status.source !== 'none',
    whenConfigured: feed.whenReady(),
    ...common,
    bus,
    settings,
    pools,
    registry,
    serverSide,
    clientLimits,
    timeLimits,
    meter,
    tls,
  });
  return {
    registry,
    pools,
    timeLimits,
    feed,
    tls,
    clock,
    log,
    janitor: new Janitor(clock, [pools]),
    reporter: makeReporter(dependencies, serverSide, {
      proxy: proxyId,
      feed,
      pools: poolTally,
      clients,
      activity: new ActivityReader(meter, clock),
      halted: (read) => halted.read(read),
      budget: budget.fleet === undefined ? 'own' : 'of_fleet',
    }),
    probes: probesOf(serverSide, { bus, proxy: proxyId, pools }),
    remote: remoteOf({ ...common, bus, registry }, services.elsewhere),
    budget,
    metrics,
    startTelemetry: telemetryPort(settings, metrics, { worker, log }),
    listen: () => listenForClients(settings, services, worker?.ports),
  };
}

function makePools(
  { maxServerDials: dialsMax }: Settings,
  { fleet }: BudgetSide,
  parts: { readonly clock: Clock; readonly log: Logger },
): Pools<PostgresBackend> {
  const gate = new DialGate({ clock: parts.clock, dialsMax });
  const partOf = fleet && ((tenant: string) => fleet.partOf(tenant));
  return new Pools<PostgresBackend>({ ...parts, gate, ...(partOf && { partOf }) });
}

/** Nothing of a worker: its supervisor has one port for all. */
function telemetryPort(
  { host, metricsPort: port }: Settings,
  metrics: Metrics,
  { worker, log }: { readonly worker: WorkerRole | undefined; readonly log: Logger },
) {
  if (worker !== undefined) return undefined;
  return (readiness: () => Readiness) =>
    startTelemetryServer({ host, port, readiness, metrics: () => metrics.page(), log });
}

function makeReporter(
  { version, bus, clock, reportIntervalMs: intervalMs = REPORT_INTERVAL_MS }: ProxyDependencies,
  { servers, endpoints }: ServerSide,
  about: Pick<
    ReporterOptions,
    'proxy' | 'feed' | 'pools' | 'clients' | 'activity' | 'halted' | 'budget'
  >,
): Reporter {
  return new Reporter({
    version,
    bus,
    clock,
    intervalMs,
    ...about,
    vitals: new ProcessVitals(clock),
    servers: () => servers.read(),
    endpoints: () => endpoints.read(),
  });
}

/** What other members of the fleet can ask for. */
function remoteOf(
  { proxyId: proxy, ...parts }: Omit<ClientDeskOptions, 'proxy'> & { readonly proxyId: ProxyId },
  exchange: CancelExchange,
) {
  const desk = new ClientDesk({ ...parts, proxy });
  return {
    start: () => [exchange, desk].forEach((one) => one.start()),
    stop: () => [exchange, desk].forEach((one) => one.stop()),
  };
}

/** Has sessions follow every swap of the config. */
function obeySwaps(
  router: Router,
  registry: SessionRegistry,
  metrics: Metrics,
  clock: Clock,
): HaltedTenants {
  endForbiddenSessions(router, registry);
  obeyTenantChanges(router, registry, (tenant) => metrics.forget(tenant));
  return new HaltedTenants(router, registry, clock);
}

interface SessionParts {
  readonly bus: Bus;
  readonly hasConfig: () => boolean;
  readonly whenConfigured: Promise<void>;
  readonly settings: Settings;
  readonly router: Router;
  readonly pools: Pools<PostgresBackend>;
  readonly registry: SessionRegistry;
  readonly serverSide: ServerSide;
  readonly clientLimits: ClientLimits;
  readonly timeLimits: TimeLimits;
  readonly keyring: Keyring;
  readonly meter: SessionTally;
  readonly tls: ClientTls | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly proxyId: ProxyId;
}

function sessionServices(parts: SessionParts): SessionServices & {
  readonly elsewhere: CancelExchange;
} {
  const { settings, router, pools, registry, keyring, meter, clock, log, proxyId } = parts;
  const { hasConfig, whenConfigured, clientLimits, timeLimits, tls } = parts;
  const accounts = new Accounts(parts.serverSide.credentials);
  const mockSecret = new MockSecret(() => keyring.deriveFleetSecret('mock-scram'));
  const common = { router, accounts, meter, clock, log };
  const cancels = new ServerCancels(clock);
  const leases = new Leases(cancels);
  const targets = new PostgresTargets({
    ...parts.serverSide,
    ...common,
    cancels,
    leases,
    pools,
  });
  const keys = new CancelRegistry(proxyId);
  return {
    ...common,
    hasConfig,
    whenConfigured,
    targets,
    busyPoll: busyPoll(settings, clock),
    lookups: new Lookups({ ...common, targets }),
    mockSecret: () => mockSecret.read(),
    registry,
    clientLimits,
    timeLimits,
    cancels: keys,
    elsewhere: new CancelExchange({ bus: parts.bus, clock, proxy: proxyId, keys }),
    ...throttles(settings, clock),
    leases,
    tls,
    settings: {
      clientLoginTimeoutMs: settings.clientLoginTimeoutMs,
      unknownTenant: settings.unknownTenant,
      selectors: { sniSuffix: settings.sniSuffix, usernameDot: settings.usernameDot },
      transport: {
        mode: tls === undefined ? 'disable' : settings.tlsMode,
        certificateUsers: new CertificateUsers(settings.tlsClientCertUsers),
        certificateLogin: settings.tlsClientCertLogin,
      },
    },
  };
}
