/**
 * The control plane without its HTTP face: event log, commands, read models, publishers and fleet state, wired up.
 * Owns the order of start and stop. Leaves HTTP, settings and secrets to api/, settings.ts and the app.
 */
import type { Bus, BusStatus } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Commands } from './commands/commands.ts';
import type { FleetReader } from './fleet/fleet-state.ts';
import type { PublisherStatus } from './publish/publisher-status.ts';
import type { EventReader } from './store/event-store.ts';
import type { TenantReader } from './store/read-models.ts';

export interface CoreOptions {
  /** Holds the database; made with mode 0700 when absent. */
  readonly dataDir: string;
  /** `full` (the default): an acknowledged change survives power loss; `normal`: a crash of the process only. */
  readonly durability?: 'full' | 'normal';
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** A new unique id per call. */
  readonly newId: () => string;
}

export interface CoreStatus {
  /** The last event in the log. */
  readonly position: Position;
  readonly epoch: number;
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
  readonly events: EventReader;
  readonly fleet: FleetReader;
  status(): CoreStatus;
  /** Lets running commands end, stops publishing, frees the database. The bus stays open: it is the caller's. */
  close(): Promise<void>;
}
