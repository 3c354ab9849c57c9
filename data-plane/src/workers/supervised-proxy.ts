/**
 * A proxy of several processes, put together: ports that are held here, workers that listen on
 * them, one port for the health and metrics of all.
 * Owns: the order of start and stop. Leaves: the workers to supervisor.ts.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { holdClientPorts } from '../client-ports.ts';
import { familyId } from '../identity/proxy-identity.ts';
import { startTelemetryServer } from '../telemetry/http.ts';
import type { TelemetryServer } from '../telemetry/http.ts';
import { inheritedPorts, spawnWorker } from './spawn-worker.ts';
import { Supervisor } from './supervisor.ts';

export interface SupervisedProxyDependencies {
  /** Lent to the workers; absent where each connects to one by itself. */
  readonly bus: Bus | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** The program of workers. */
  readonly workerFile: string;
}

export interface SupervisedProxy {
  /** What the ids of its workers begin with. */
  readonly proxyId: ProxyId;
  readonly postgresPort: number;
  readonly metricsPort: number;
  /** Replaces the workers one by one; no client that connects meanwhile is refused or reset. */
  replaceWorkers(): Promise<void>;
  /** Lets transactions finish, up to `shutdownTimeoutMs`, then ends what is left. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Resolves when every worker accepts clients; nothing runs when it throws.
 * @throws AppError SETTINGS_INVALID when a port, folder or key cannot be used
 */
export async function startSupervisedProxy(
  settings: Settings,
  { bus, clock, version, workerFile, ...dependencies }: SupervisedProxyDependencies,
): Promise<SupervisedProxy> {
  const family = familyId(settings.dataDir, settings.proxyId);
  const log = dependencies.log.child({ supervisor: family });
  const held = await holdClientPorts(settings);
  const role = { family, ports: inheritedPorts(held.fds) };
  const supervisor = new Supervisor({
    // With port 0 the workers are told which one it has become.
    task: { settings: { ...settings, postgresPort: held.port }, version, role },
    spawn: () => spawnWorker(workerFile, held.fds),
    bus,
    clock,
    log,
  });
  let telemetry: TelemetryServer | undefined;
  const stop = async (): Promise<void> => {
    // First of all, or clients would go on to queue up where nobody accepts them any more.
    held.close();
    await supervisor.stop();
    await telemetry?.close();
  };
  let stopping: Promise<void> | undefined;
  const stopOnce = (): Promise<void> => (stopping ??= stop());
  try {
    telemetry = await startTelemetryServer({
      host: settings.host,
      port: settings.metricsPort,
      readiness: () => supervisor.readiness,
      metrics: () => supervisor.page(),
      log,
    });
    await supervisor.start();
  } catch (error) {
    await stopOnce();
    throw error;
  }
  const { port: metricsPort } = telemetry;
  log.info({ postgresPort: held.port, metricsPort, workers: settings.workers }, 'workers serving');
  return {
    proxyId: family,
    postgresPort: held.port,
    metricsPort,
    replaceWorkers: () => supervisor.replaceAll(),
    stop: stopOnce,
  };
}
