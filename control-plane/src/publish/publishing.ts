/**
 * Everything that is told on the bus of what is in the log: deltas, snapshots, and the events
 * themselves where nobody has written them there before. Owns: what is started and ended together.
 */
import type { ConfigSigner } from '@dbbouncer/shared/contract/signed-message.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { DeltaPublisher } from './delta-publisher.ts';
import { EventPublisher } from './event-publisher.ts';
import { LogTail } from './log-tail.ts';
import type { TailPorts } from './log-tail.ts';
import type { PublisherStatus } from './publisher-status.ts';
import { SnapshotPublisher } from './snapshot-publisher.ts';

export interface PublishingStatus {
  /** The last position proxies were told. */
  readonly publishedPosition: Position;
  readonly deltas: PublisherStatus;
  readonly events: PublisherStatus;
  /** The position of the snapshot this process stored last, or nothing before the first. */
  readonly snapshotPosition: Position | undefined;
}

export interface Publishing {
  status(): PublishingStatus;
  /** Lets what is under way end; nothing is published afterwards. */
  close(): Promise<void>;
}

/** Hears the config as proxies are told it, and the delta that led to it from the one before. */
export type OnConfig = (config: RoutingConfig, delta: ConfigDelta | undefined) => void;

export interface PublishingOptions extends TailPorts {
  /** Signs what proxies are told. */
  readonly signer: ConfigSigner;
  /** `off`: nobody can follow them, or they are there before they are in the log. */
  readonly events: 'on' | 'off';
  /** Asked before anything is published. @throws HistoryConflict when another one writes. */
  readonly requireAlone?: (() => Promise<void>) | undefined;
  readonly onConfig: OnConfig;
}

export function startPublishing(options: PublishingOptions): Publishing {
  const { events: wanted, requireAlone, onConfig, ...ports } = options;
  const { store, bus } = ports;
  const events = wanted === 'off' ? undefined : new EventPublisher(store, bus);
  const deltas = new DeltaPublisher(store, bus, ports.signer, {
    requireSameHistory: async () => {
      await requireAlone?.();
      await events?.requireSameHistory();
    },
    onRecovered: () => {
      snapshots.onRecovered();
      const published = deltas.published();
      if (published !== undefined) onConfig(published.config, undefined);
    },
    onPublished: (config, delta) => {
      snapshots.onPublished();
      onConfig(config, delta);
    },
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

/** Of a control plane that does not publish, since another one does. */
export const NO_PUBLISHING: PublishingStatus = Object.freeze({
  publishedPosition: 0,
  deltas: Object.freeze({ phase: 'off', position: 0 }),
  events: Object.freeze({ phase: 'off', position: 0 }),
  snapshotPosition: undefined,
});
