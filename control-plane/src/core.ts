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
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { makeFolder } from '@dbbouncer/shared/files/durable-folder.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { FleetBudget } from './budget/fleet-budget.ts';
import { CanaryWatch } from './canary/watch.ts';
import { CommandQueue } from './commands/command-queue.ts';
import type { Commands } from './commands/commands.ts';
import type { Keeping } from './commands/keeping.ts';
import { LocalKeeping } from './commands/local-keeping.ts';
import { ReplicatedKeeping } from './commands/replicated-keeping.ts';
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
import { NO_PUBLISHING, startPublishing } from './publish/publishing.ts';
import type { OnConfig } from './publish/publishing.ts';
import type { Publishing, PublishingStatus } from './publish/publishing.ts';
import { requireNoLeader } from './replication/no-leader.ts';
import type { LeaseMarks } from './replication/lease-record.ts';
import { Replica } from './replication/replica.ts';
import type { ReplicaStatus } from './replication/replica.ts';
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
   * process only; `replicated`: as `full`, and it is with whoever takes over.
   */
  readonly durability?: 'full' | 'normal' | 'replicated';
  /** Needed where changes are replicated. */
  readonly standing?: Standing | undefined;
  /** Without a report for so long a proxy counts as lost. Default is FLEET_LIMITS.lostAfterMs. */
  readonly proxyLostAfterMs?: number;
  /** Proxies the fleet has when all are there; nothing: as many as are known. */
  readonly expectedProxies?: number | undefined;
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

/** Of one of several control planes. */
export interface Standing {
  /** Kept in the data folder. */
  readonly id: string;
  readonly leaseMs: number;
  readonly marks: LeaseMarks;
}

export interface CoreStatus extends PublishingStatus {
  /** The last event in the log. */
  readonly position: Position;
  readonly epoch: number;
  /** Whether changes can be kept. */
  readonly writing: WriteState;
  readonly busStatus: BusStatus;
  /** Of one of several control planes; nothing for one that writes alone. */
  readonly replica: ReplicaStatus | undefined;
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
  /** Who may have how many server connections; nothing is known of it before a term has begun. */
  readonly budget: Pick<FleetBudget, 'allocator' | 'forget'>;
  /** Has proxies try servers. */
  readonly probes: Pick<Probes, 'probe'>;
  /** Makes the read models anew from the events, while everything else goes on. @throws STORE_* */
  rebuildReadModels(): Promise<Rebuilt>;
  /** How far a rebuild has come; nothing while there is none. */
  rebuiltUpTo(): Position | undefined;
  status(): CoreStatus;
  /** Leads from now on whenever no other does, where changes are replicated. */
  join(seat: Seat): void;
  /**
   * Lets running commands end, stops publishing, frees the database. The bus stays open: it is the
   * caller's.
   */
  close(): Promise<void>;
}

/** What a control plane needs to stand beside others. */
export interface Seat {
  /** Where the others reach its API. */
  readonly apiUrl: string;
  /** It leads, and publishes already. Never throws. */
  readonly onLeading: () => Promise<void>;
  /** It leads no more. Never throws. */
  readonly onFollowing: () => Promise<void>;
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
 * Opens the database and begins to publish, unless several control planes decide who does. Does not
 * wait for the bus: `status()` says how far that is.
 * @throws STORE_LOCKED, STORE_FULL, STORE_BUSY, STORE_FAILED
 */
export function openCore(options: CoreOptions): ControlPlaneCore {
  const { bus, clock, log, durability = 'full' } = options;
  makeFolder(options.dataDir);
  const store: EventStore = openSqliteEventStore({
    file: join(options.dataDir, DATABASE_FILE),
    durability: durability === 'normal' ? 'normal' : 'full',
    clock,
    log,
    project: projectViews,
    onDamage: (error) => gate.shut(error),
  });
  const gate = new WriteGate({ tryWriting: () => store.tryWriting(), clock, log });
  const { proxyLostAfterMs: lostAfterMs = FLEET_LIMITS.lostAfterMs } = options;
  const budget = openBudget(store, options, {
    lostAfterMs,
    leads: () => writing.replica?.leads() ?? true,
  });
  const writing = openWriting(store, gate, options, budget);
  const commands = new CommandQueue(store, writing.keeping);
  const fleet = new FleetState(() => clock.nowMs(), lostAfterMs);
  const reports = listenForReports(bus, fleet, log);
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
    mayDecide: () => isLeading(writing),
    newId: randomUUID,
    log: log.child({ part: 'canary' }),
  });
  canaries.start();
  return {
    commands,
    tenants: store,
    apiKeys: store.apiKeys,
    events: store,
    past: pastIn(store),
    history,
    fleet,
    canaries,
    budget,
    probes,
    clients: new FleetClients({ bus, fleet, clock }),
    rebuildReadModels: () => store.rebuildReadModelsOnline(),
    rebuiltUpTo: () => store.rebuiltUpTo,
    status: () => ({
      position: store.head(),
      epoch: store.epoch,
      writing: gate.state,
      busStatus: bus.status,
      replica: writing.replica?.status(),
      ...writing.published(),
    }),
    join: (seat) => writing.join(seat),
    close: async () => {
      budget.stop();
      await canaries.close();
      await commands.close();
      gate.close();
      reports.close();
      await writing.close();
      store.close();
    },
  };
}

function pastIn(store: EventStore): PastReader {
  return {
    tenant: (id, position) => pastOfTenant(store, id, position),
    positionAt: (time) => store.lastByTime(time, 'up_to'),
    writtenAt: (position) => {
      for (const event of store.readAll(position - 1, 1)) return event.occurredAt;
      return undefined;
    },
  };
}

/** How changes are kept, and who is told of them when. */
interface Writing {
  readonly keeping: Keeping;
  readonly replica: Replica | undefined;
  join(seat: Seat): void;
  published(): PublishingStatus;
  close(): Promise<void>;
}

function isLeading({ replica }: Writing): boolean {
  return replica === undefined || replica.status().role === 'leading';
}

function openBudget(
  store: EventStore,
  { bus, clock, log, expectedProxies }: CoreOptions,
  { lostAfterMs, leads }: { readonly lostAfterMs: number; readonly leads: () => boolean },
): FleetBudget {
  const changedAt = (key: string): Position => lastChangeFor(store, key);
  return new FleetBudget({
    bus,
    clock,
    log,
    changedAt,
    expectedProxies,
    proxyLostAfterMs: lostAfterMs,
    leads,
  });
}

/** Proxies that end with this process cannot have anything of one before. */
function seatOf(store: EventStore, { eventStream }: CoreOptions) {
  const isNew = eventStream === 'off' || store.countTenants() === 0;
  return { termLeast: store.epoch, past: isNew ? 'none' : 'perhaps' } as const;
}

/** Position of the last change of what a tenant may have: its own, or one of all tenants. */
function lastChangeFor(store: EventStore, key: string): Position {
  const wide = [store.getDefaults(), ...store.servers.list()].map(({ position }) => position);
  return Math.max(store.getTenant(key)?.position ?? 0, ...wide);
}

function openWriting(
  store: EventStore,
  gate: WriteGate,
  options: CoreOptions,
  budget: FleetBudget,
): Writing {
  return options.durability === 'replicated'
    ? writeBesideOthers(store, gate, options, budget)
    : writeAlone(store, gate, options, budget);
}

function writeAlone(
  store: EventStore,
  gate: WriteGate,
  options: CoreOptions,
  budget: FleetBudget,
): Writing {
  const { bus, clock, log, signer = UNSIGNED, eventStream: events = 'on' } = options;
  const publishing = startPublishing({
    store,
    bus,
    clock,
    log,
    signer,
    events,
    onConfig: (config, delta) => budget.configPublished(config, delta),
    ...(events === 'on' && { requireAlone: () => requireNoLeader(bus, clock) }),
  });
  budget.start(seatOf(store, options));
  return {
    keeping: new LocalKeeping(store, gate),
    replica: undefined,
    join: () => {},
    published: () => publishing.status(),
    close: () => publishing.close(),
  };
}

function writeBesideOthers(
  store: EventStore,
  gate: WriteGate,
  options: CoreOptions,
  budget: FleetBudget,
): Writing {
  const { bus, clock, log, standing, signer = UNSIGNED } = options;
  assert(standing !== undefined, 'who writes beside others has a standing');
  let publishing: Publishing | undefined;
  let seat: Seat | undefined;
  const replica = new Replica({
    store,
    bus,
    clock,
    log,
    ...standing,
    onLeading: async () => {
      const onConfig: OnConfig = (config, delta) => budget.configPublished(config, delta);
      publishing = startPublishing({ store, bus, clock, log, signer, events: 'off', onConfig });
      budget.start(seatOf(store, options));
      await seat?.onLeading();
    },
    onFollowing: async () => {
      budget.stop();
      await seat?.onFollowing();
      await publishing?.close();
      publishing = undefined;
    },
  });
  return {
    keeping: new ReplicatedKeeping(store, gate, replica),
    replica,
    join: (taken) => {
      seat = taken;
      replica.start(taken.apiUrl);
    },
    published: () => publishing?.status() ?? NO_PUBLISHING,
    close: () => replica.close(),
  };
}
