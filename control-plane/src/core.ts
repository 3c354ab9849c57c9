/**
 * The control plane without its HTTP face: event log, commands, read models, publishers and fleet
 * state, wired up. Owns the order of start and stop. Leaves HTTP, settings and secrets to api/,
 * settings.ts and the app.
 */
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Bus, BusStatus } from '@dbbouncer/shared/bus/bus.ts';
import { UNSIGNED } from '@dbbouncer/shared/contract/signed-message.ts';
import type { ConfigSigner } from '@dbbouncer/shared/contract/signed-message.ts';
import { makeFolder } from '@dbbouncer/shared/files/durable-folder.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { CanaryWatch } from './canary/watch.ts';
import { CommandQueue } from './commands/command-queue.ts';
import type { Commands } from './commands/commands.ts';
import { WriteGate } from './commands/write-gate.ts';
import type { WriteState } from './commands/write-gate.ts';
import { FleetClients } from './fleet/fleet-clients.ts';
import { FLEET_LIMITS, FleetState } from './fleet/fleet-state.ts';
import type { FleetReader } from './fleet/fleet-state.ts';
import { Probes } from './fleet/probes.ts';
import { listenForReports } from './fleet/report-listener.ts';
import { pastOfTenant } from './projections/past.ts';
import type { FoldedPast } from './projections/past.ts';
import { History } from './history/history.ts';
import { projectViews } from './projections/tenant-views.ts';
import { DeltaPublisher } from './publish/delta-publisher.ts';
import { EventPublisher } from './publish/event-publisher.ts';
import { LogTail } from './publish/log-tail.ts';
import type { PublisherStatus } from './publish/publisher-status.ts';
import { SnapshotPublisher } from './publish/snapshot-publisher.ts';
import type { ApiKeyReader, ApiKeyUses } from './store/api-keys.ts';
import type { EventReader, EventStore } from './store/event-store.ts';
import { openSqliteEventStore } from './store/sqlite-event-store.ts';
import type { TenantReader } from './store/read-models.ts';
import type { Rebuilt } from './store/rebuild-beside.ts';

export interface CoreOptions {
  /** Holds the database; made with mode 0700 when absent. */
  readonly dataDir: string;
  /**
   * `full` (the default): an acknowledged change survives power loss; `normal`: a crash of the
   * process only.
   */
  readonly durability?: 'full' | 'normal';
  /** Without a report for so long a proxy counts as lost. Default is FLEET_LIMITS.lostAfterMs. */
  readonly proxyLostAfterMs?: number;
  readonly bus: Bus;
  /**
   * `off` keeps full events from the bus: a bus that ends with this process has nobody to follow
   * them. Default: `on`.
   */
  readonly eventStream?: 'on' | 'off';
  /** What proxies are told bears its signature. Default: none. */
  readonly signer?: ConfigSigner;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface CoreStatus {
  /** The last event in the log. */
  readonly position: Position;
  readonly epoch: number;
  /** Whether changes can be kept. */
  readonly writing: WriteState;
  readonly busStatus: BusStatus;
  /** The last position proxies were told. */
  readonly publishedPosition: Position;
  readonly deltas: PublisherStatus;
  readonly events: PublisherStatus;
  /** The position of the snapshot this process stored last, or nothing before the first. */
  readonly snapshotPosition: Position | undefined;
}

export interface ControlPlaneCore {
  readonly commands: Commands;
  readonly tenants: TenantReader;
  readonly apiKeys: ApiKeyReader & ApiKeyUses;
  readonly events: EventReader;
  readonly past: PastReader;
  readonly history: History;
  readonly fleet: FleetReader;
  /** Changes that some proxies try. */
  readonly canaries: Pick<CanaryWatch, 'size' | 'ended' | 'evidence'>;
  /** The clients of all proxies. */
  readonly clients: Pick<FleetClients, 'list' | 'kill'>;
  /** Has proxies try servers. */
  readonly probes: Pick<Probes, 'probe'>;
  /** Makes the read models anew from the events, while everything else goes on. @throws STORE_* */
  rebuildReadModels(): Promise<Rebuilt>;
  /** How far a rebuild has come; nothing while there is none. */
  rebuiltUpTo(): Position | undefined;
  status(): CoreStatus;
  /**
   * Lets running commands end, stops publishing, frees the database. The bus stays open: it is the
   * caller's.
   */
  close(): Promise<void>;
}

/** What was, before the last event. */
export interface PastReader {
  tenant(id: string, position: Position): FoldedPast;
  /** The last position whose event is not after `time`, which is written as events are stamped. */
  positionAt(time: string): Position;
  /** When an event was written; nothing when there is none at that position. */
  writtenAt(position: Position): string | undefined;
}

/** File name of the database within the data directory. */
export const DATABASE_FILE = 'dbbouncer.db';

/**
 * Opens the database and begins to publish. Does not wait for the bus: `status()` says how far that
 * is.
 * @throws STORE_LOCKED, STORE_FULL, STORE_BUSY, STORE_FAILED
 */
export function openCore(options: CoreOptions): ControlPlaneCore {
  const { bus, clock, log } = options;
  makeFolder(options.dataDir);
  const store: EventStore = openSqliteEventStore({
    file: join(options.dataDir, DATABASE_FILE),
    durability: options.durability ?? 'full',
    clock,
    log,
    project: projectViews,
    onDamage: (error) => gate.shut(error),
  });
  const gate = new WriteGate({ tryWriting: () => store.tryWriting(), clock, log });
  const commands = new CommandQueue(store, gate);
  const { proxyLostAfterMs: lostAfterMs = FLEET_LIMITS.lostAfterMs } = options;
  const fleet = new FleetState(() => clock.nowMs(), lostAfterMs);
  const reports = listenForReports(bus, fleet, log);
  const publishing = startPublishing(store, options);
  const history = new History(store);
  const probes = new Probes({ bus, fleet, clock });
  const canaries = new CanaryWatch({
    commands,
    tenants: store,
    history,
    fleet,
    probes,
    clock,
    lostAfterMs,
    newId: randomUUID,
    log: log.child({ part: 'canary' }),
  });
  canaries.start();
  return {
    commands,
    tenants: store,
    apiKeys: store.apiKeys,
    events: store,
    past: {
      tenant: (id, position) => pastOfTenant(store, id, position),
      positionAt: (time) => store.lastByTime(time, 'up_to'),
      writtenAt: (position) => {
        for (const event of store.readAll(position - 1, 1)) return event.occurredAt;
        return undefined;
      },
    },
    history,
    fleet,
    canaries,
    probes,
    clients: new FleetClients({ bus, fleet, clock }),
    rebuildReadModels: () => store.rebuildReadModelsOnline(),
    rebuiltUpTo: () => store.rebuiltUpTo,
    status: () => ({
      position: store.head(),
      epoch: store.epoch,
      writing: gate.state,
      busStatus: bus.status,
      ...publishing.status(),
    }),
    close: async () => {
      await canaries.close();
      commands.close();
      gate.close();
      reports.close();
      await publishing.close();
      store.close();
    },
  };
}

interface Publishing {
  status(): Pick<CoreStatus, 'publishedPosition' | 'deltas' | 'events' | 'snapshotPosition'>;
  close(): Promise<void>;
}

function startPublishing(store: EventStore, options: CoreOptions): Publishing {
  const { signer = UNSIGNED } = options;
  const ports = { bus: options.bus, signer, store, clock: options.clock, log: options.log };
  const events = options.eventStream === 'off' ? undefined : new EventPublisher(store, options.bus);
  const deltas = new DeltaPublisher(store, options.bus, signer, {
    requireSameHistory: async () => await events?.requireSameHistory(),
    onRecovered: () => snapshots.onRecovered(),
    onPublished: () => snapshots.onPublished(),
  });
  const snapshots = new SnapshotPublisher({ ...ports, published: () => deltas.published() });
  const deltaTail = new LogTail(deltas, ports);
  const eventTail = events === undefined ? undefined : new LogTail(events, ports);
  snapshots.start();
  deltaTail.start();
  eventTail?.start();
  return {
    status: () => ({
      publishedPosition: deltas.position,
      deltas: deltaTail.status(),
      events: eventTail?.status() ?? { phase: 'off', position: 0 },
      snapshotPosition: snapshots.position,
    }),
    close: async () => {
      await Promise.all([deltaTail.close(), eventTail?.close()]);
      await snapshots.close();
    },
  };
}
